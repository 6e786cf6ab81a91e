#include "verify/claims.h"

#include <fmt/format.h>

#include "base/rows.h"

namespace lastack::verify {
namespace {

constexpr VerdictRow kVerdicts[kVerdictCount] = {
    {Verdict::holds, "holds", "holds"},
    {Verdict::holds_if, "holds-if", "holds if"},
    {Verdict::does_not_hold, "does-not-hold", "does not hold"},
    {Verdict::undecided, "undecided", "undecided"},
};
static_assert(in_order(kVerdicts, &VerdictRow::id) && named(kVerdicts, &VerdictRow::flag));

constexpr Case kCases[] = {
    {"A1", "A normal close sends FIN after all queued data; nothing is lost.",
     "the closing side has read everything that was sent to it"},
    {"A2", "With SO_LINGER {on, 0}, close() discards the data still queued and sends RST at once.",
     ""},
    {"A3", "The receiver of the RST can tell an abort from a normal close.",
     "the RST comes first, not after a FIN, and the first call to ask is the one that counts"},
    {"A4", "The RST provokes no answer; the receiver just ends the connection.", ""},
    {"A5",
     "Blocking sockets: the application learns of the RST only through a read or write call, by "
     "its error.",
     "\"only\" means that nothing interrupts it: poll() and SO_ERROR tell it as well"},
    {"A6",
     "Non-blocking: select / epoll report the descriptor readable, and the read then fails with "
     "the reset error.",
     ""},
    {"S1",
     "The client's cable or machine dies: the server notices nothing and waits for a timeout.",
     "a timer runs: data is unacknowledged or keepalive is on; and the client does not come back"},
    {"S2",
     "The client sends many packets, closes, and exits or not: the server receives every message, "
     "then recv returns 0.",
     ""},
    {"S3",
     "The client sends many packets and exits without closing: the server receives part of the "
     "messages, then ECONNRESET.",
     "data is still undelivered when the client exits with unread data, or when the server sends"},
    {"S4", "The client is killed (kill -9) while it sends: the server soon gets ECONNRESET.",
     "the client dies with unread data, or the server sends while the dead client's data is "
     "undelivered"},
    {"S5",
     "The client closes normally and the server sends before it noticed: it receives and sends "
     "some, then EPIPE from send.",
     ""},
    {"C1",
     "The server has closed; the client sends twice: the first send succeeds, the second fails "
     "with EPIPE and SIGPIPE.",
     "the RST is back before the second send, and the call is one that signals"},
    {"C2",
     "The server sends and closes; the client sends one packet, then receives: the packet provokes "
     "an RST, recv still returns all data, then 0.",
     ""},
    {"C3",
     "The server closes with unread data: RST instead of FIN; the client gets ECONNRESET early, "
     "before data that was sent earlier.",
     "that data had not reached the client yet, or the client sends before it reads"},
};
static_assert(named(kCases, &Case::id));

constexpr std::string_view kUndelivered = "data is still undelivered when the reset is provoked";
constexpr std::string_view kRstIsBack = "the RST is back before the second send";
constexpr std::string_view kAllBits = "IN OUT RDHUP ERR HUP";

std::vector<Claim> make_claims() {
  std::vector<Claim> rows = {
      {"A1",
       "all-read",
       "fill the send queue, close(); the other side reads afterwards",
       Verdict::holds,
       "",
       {{"", "data", "all"}, {"", "last read", "0"}, {"", "RSTs per connection", "0"}}},
      {"A1",
       "unread",
       "the same, with one unread byte at the closing side",
       Verdict::does_not_hold,
       "",
       {{"", "data", "part"},
        {"", "last read", "ECONNRESET"},
        {"", "RSTs per connection", "1|1 to 2"}}},

      {"A2",
       "linger-zero",
       "fill the send queue, SO_LINGER {1,0}, close()",
       Verdict::holds,
       "",
       {{"", "RST sent when close() returned", "yes"},
        {"", "data", "part"},
        {"", "last read", "ECONNRESET"},
        {"", "RSTs per connection", "1|1 to 2"}}},

      {"A3",
       "first-read",
       "close() by FIN, or SO_LINGER {1,0} close() by RST; then read",
       Verdict::holds,
       "",
       {{"close", "first read", "0"},
        {"abort", "first read", "ECONNRESET"},
        {"close", "TCP state", "CLOSE_WAIT"},
        {"abort", "TCP state", "CLOSE"}}},
      {"A3",
       "second-read",
       "the same, but the first read went unseen",
       Verdict::does_not_hold,
       "",
       {{"abort", "second read", "0"}, {"abort", "TCP state", "CLOSE"}}},
      {"A3",
       "data-before-rst",
       "send data, then SO_LINGER {1,0} close(); then read it all",
       Verdict::holds,
       "",
       {{"", "data", "all"}, {"", "last read", "ECONNRESET"}}},
      {"A3",
       "rst-after-fin",
       "close(); the survivor's send draws the RST; then read",
       Verdict::does_not_hold,
       "",
       {{"", "first read", "0"},
        {"", "events", kAllBits},
        {"", "SO_ERROR", "EPIPE"},
        {"", "TCP state", "CLOSE"}}},

      {"A4",
       "idle",
       "SO_LINGER {1,0} close() of idle connections; count segments both ways",
       Verdict::holds,
       "",
       {{"", "RSTs per connection", "1"},
        {"", "segments after the RST", "0"},
        {"", "TCP state", "CLOSE"}}},

      {"A5",
       "recv",
       "the RST has arrived; blocking recv()",
       Verdict::holds,
       "",
       {{"", "first call", "ECONNRESET"}, {"", "signals before the call", "0"}}},
      {"A5",
       "recv-asleep",
       "the RST arrives while a process sleeps in recv()",
       Verdict::holds,
       "",
       {{"", "first call", "ECONNRESET"}, {"", "signals", "0"}}},
      {"A5",
       "send",
       "the RST has arrived; blocking send(), twice",
       Verdict::holds,
       "",
       {{"", "first call", "ECONNRESET"},
        {"", "signals before the call", "0"},
        {"", "SIGPIPE at the first call", "0"},
        {"", "second call", "EPIPE"},
        {"", "SIGPIPE at the second call", "1"}}},
      {"A5",
       "send-nosignal",
       "the same with MSG_NOSIGNAL",
       Verdict::holds,
       "",
       {{"", "first call", "ECONNRESET"},
        {"", "second call", "EPIPE"},
        {"", "SIGPIPE at the second call", "0"}}},
      {"A5",
       "no-read-no-write",
       "the RST has arrived; poll(), SO_ERROR, then recv()",
       Verdict::does_not_hold,
       "",
       {{"", "events", kAllBits}, {"", "SO_ERROR", "ECONNRESET"}, {"", "first call", "0"}}},

      {"A6",
       "select",
       "select(), then read",
       Verdict::holds,
       "",
       {{"", "events", "readable writable"}, {"", "first read", "ECONNRESET"}}},
      {"A6",
       "poll",
       "poll(), then read",
       Verdict::holds,
       "",
       {{"", "events", kAllBits}, {"", "first read", "ECONNRESET"}}},
      {"A6",
       "epoll",
       "epoll_wait(), then read",
       Verdict::holds,
       "",
       {{"", "events", kAllBits}, {"", "first read", "ECONNRESET"}}},
      {"A6",
       "io_uring-poll",
       "IORING_OP_POLL_ADD, then read",
       Verdict::holds,
       "",
       {{"", "events", kAllBits}, {"", "first read", "ECONNRESET"}}},

      {"S1",
       "idle",
       "cut the path; the server waits",
       Verdict::does_not_hold,
       "",
       {{"", "finding", "nothing"},
        {"", "recv", "EAGAIN"},
        {"", "TCP state", "ESTABLISHED"},
        {"", "a byte sent at the end", "unacknowledged"}}},
      {"S1",
       "writing",
       "cut the path; the server sends one byte",
       Verdict::holds,
       "",
       {{"", "finding", "ETIMEDOUT"}}},
      {"S1",
       "keepalive",
       "cut the path; keepalive: idle 1 s, interval 1 s, count 2",
       Verdict::holds,
       "",
       {{"", "finding", "ETIMEDOUT"}, {"", "probes per connection", "2"}}},
      {"S1",
       "user-timeout-idle",
       "cut the path; TCP_USER_TIMEOUT 1 s, nothing to send",
       Verdict::does_not_hold,
       "",
       {{"", "finding", "nothing"},
        {"", "TCP state", "ESTABLISHED"},
        {"", "a byte sent at the end", "unacknowledged"}}},
      {"S1",
       "writing-unreachable",
       "a router answers ICMP host unreachable; the server sends",
       Verdict::holds,
       "",
       {{"one address", "finding", "EHOSTUNREACH|ETIMEDOUT"},
        {"own addresses", "finding", "EHOSTUNREACH"}},
       Paths::veth_only},
      {"S1",
       "rebooted",
       "the client forgets the connection (TCP_REPAIR); the server sends",
       Verdict::does_not_hold,
       "",
       {{"", "finding", "ECONNRESET"}}},

      {"S2",
       "stays",
       "a process sends, close()s, and lives on; then the server reads",
       Verdict::holds,
       "",
       {{"", "data", "all"}, {"", "last read", "0"}}},
      {"S2",
       "exits",
       "a process sends, close()s and exits; then the server reads",
       Verdict::holds,
       "",
       {{"", "data", "all"}, {"", "last read", "0"}}},

      {"S3",
       "silent",
       "exit with all read; the server only reads",
       Verdict::does_not_hold,
       "",
       {{"", "data", "all"}, {"", "last read", "0"}}},
      {"S3",
       "chatty",
       "exit with all read; the server sends once, then reads",
       Verdict::holds_if,
       kUndelivered,
       {{"queue left", "reset told by", "recv"}, {"all delivered", "last read", "0"}}},
      {"S3",
       "unread-silent",
       "exit with one byte unread; the server only reads",
       Verdict::holds_if,
       kUndelivered,
       {{"", "last read", "ECONNRESET"},
        {"queue left", "data", "part"},
        {"all delivered", "data", "all"}}},
      {"S3",
       "unread-chatty",
       "exit with one byte unread; the server sends, then reads",
       Verdict::holds_if,
       kUndelivered,
       {{"", "reset told by", "send"}, {"", "last read", "0"}, {"all delivered", "data", "all"}}},

      {"S4",
       "silent",
       "kill -9 with all read; the server only reads",
       Verdict::does_not_hold,
       "",
       {{"", "data", "all"}, {"", "last read", "0"}}},
      {"S4",
       "chatty",
       "kill -9 with all read; the server sends once, then reads",
       Verdict::holds_if,
       kUndelivered,
       {{"queue left", "reset told by", "recv"}, {"all delivered", "last read", "0"}}},
      {"S4",
       "unread-silent",
       "kill -9 with one byte unread; the server only reads",
       Verdict::holds,
       "",
       {{"", "last read", "ECONNRESET"}, {"queue left", "data", "part"}}},
      {"S4",
       "unread-chatty",
       "kill -9 with one byte unread; the server sends, then reads",
       Verdict::holds,
       "",
       {{"", "reset told by", "send"}, {"", "last read", "0"}}},
      {"S4",
       "race",
       "the server sends a byte and the client, who reads, is killed at that moment",
       Verdict::holds_if,
       "the byte is still unread when the client dies",
       {{"unread", "last read", "ECONNRESET"}, {"read first", "last read", "0"}}},

      {"S5",
       "send",
       "close(); the server sends until an error, then reads",
       Verdict::holds,
       "",
       {{"", "first send", "ok"},
        {"", "error", "EPIPE"},
        {"", "SIGPIPE", "1"},
        {"", "data", "all"},
        {"", "last read", "0"},
        {"RST awaited", "sends that succeeded", "1"}}},
  };
  // The client's cases once for every way to watch the socket.
  constexpr std::string_view kWatches[] = {"recv",   "blocking",      "poll",         "epoll",
                                           "select", "io_uring-recv", "io_uring-poll"};
  for (const std::string_view watch : kWatches)
    rows.push_back({"C1",
                    watch,
                    "told of the FIN by this watch, the client sends twice",
                    Verdict::holds_if,
                    kRstIsBack,
                    {{"", "first send", "ok"},
                     {"RST awaited", "second send", "EPIPE"},
                     {"RST awaited", "SIGPIPE", "1"},
                     {"RST held back", "second send", "ok"},
                     {"RST held back", "SIGPIPE", "0"}}});
  const auto quiet = [&](std::string_view variant, std::string_view done) {
    rows.push_back({"C1",
                    variant,
                    done,
                    Verdict::does_not_hold,
                    "",
                    {{"", "first send", "ok"},
                     {"RST awaited", "second send", "EPIPE"},
                     {"", "SIGPIPE", "0"}}});
  };
  quiet("send-nosignal", "two send() with MSG_NOSIGNAL");
  quiet("io_uring-send", "two IORING_OP_SEND");
  rows.push_back({"C1",
                  "write",
                  "two write()",
                  Verdict::holds_if,
                  kRstIsBack,
                  {{"", "first send", "ok"},
                   {"RST awaited", "second send", "EPIPE"},
                   {"RST awaited", "SIGPIPE", "1"},
                   {"RST held back", "second send", "ok"}}});
  for (const std::string_view watch : kWatches)
    rows.push_back({"C2",
                    watch,
                    "the server sends 1,000 bytes and closes; send one byte, read",
                    Verdict::holds,
                    "",
                    {{"", "send", "ok"},
                     {"", "data", "all"},
                     {"", "last read", "0"},
                     {"RST awaited", "SO_ERROR", "EPIPE"}}});
  for (const std::string_view watch : kWatches)
    rows.push_back({"C3",
                    watch,
                    "the server sends, closes with one byte unread; the client reads",
                    Verdict::holds_if,
                    "that data had not reached the client yet",
                    {{"", "last read", "ECONNRESET"},
                     {"", "RSTs per connection", "1|1 to 2"},
                     {"data delivered", "data", "all"},
                     {"data queued", "data", "part"}}});
  rows.push_back({"C3",
                  "send-first",
                  "the same, but the client sends before it reads",
                  Verdict::holds,
                  "",
                  {{"", "send", "ECONNRESET"},
                   {"", "SIGPIPE", "0"},
                   {"data delivered", "data", "all"},
                   {"", "last read", "0"}}});
  return rows;
}

}  // namespace

const VerdictRow& verdict_row(Verdict verdict) { return kVerdicts[static_cast<size_t>(verdict)]; }

std::string verdict_text(Verdict verdict, std::string_view condition) {
  std::string text(verdict_row(verdict).text);
  if (verdict == Verdict::holds_if)
    text += fmt::format(" {}", condition.empty() ? "some condition is met" : condition);
  return text;
}

std::span<const Case> cases() { return kCases; }

const Case& case_row(std::string_view id) {
  for (const Case& row : kCases)
    if (row.id == id) return row;
  return kCases[0];
}

std::span<const Claim> claims() {
  static const std::vector<Claim> kClaims = make_claims();
  return kClaims;
}

Result<ExpectedVerdict> parse_expected_verdict(std::string_view text) {
  const size_t slash = text.find('/');
  const size_t equals = text.find('=');
  if (slash == std::string_view::npos || equals == std::string_view::npos || equals < slash)
    return plain_error(
        fmt::format("--expect '{}': must be CASE/VARIANT=VERDICT, as A3/first-read=holds", text));
  const std::string_view case_id = text.substr(0, slash);
  const std::string_view variant = text.substr(slash + 1, equals - slash - 1);
  const std::string_view verdict = text.substr(equals + 1);
  bool known = false;
  for (const Claim& claim : claims())
    known = known || (claim.case_id == case_id && claim.variant == variant);
  if (!known) return plain_error(fmt::format("--expect: no row {}/{}", case_id, variant));
  for (const VerdictRow& row : kVerdicts)
    if (row.id != Verdict::undecided && row.flag == verdict)
      return ExpectedVerdict{std::string(case_id), std::string(variant), row.id};
  return plain_error(fmt::format(
      "--expect: unknown verdict '{}'; allowed: holds, holds-if, does-not-hold", verdict));
}

Verdict decide(const Outcomes& outcomes) {
  if (outcomes.met() > 0 && outcomes.unmet() == 0) return Verdict::holds;
  if (outcomes.met() == 0 && outcomes.unmet() > 0) return Verdict::does_not_hold;
  const bool decided = outcomes.met_without == 0 && outcomes.unmet_with == 0;
  return decided && outcomes.met() > 0 ? Verdict::holds_if : Verdict::undecided;
}

}  // namespace lastack::verify
