#include "verify/regressions.h"

#include <fmt/format.h>

#include <vector>

#include "base/named.h"
#include "base/rows.h"

namespace lastack::verify {
namespace {

// Titles, and the versions of 6.1 and 6.12, are those in Debian's changelogs of linux 6.1.192-3 and
// 6.12.117-1~deb12u1. The others are from the announcements of the stable releases and the ranges
// of the CVE; where those name no number, from the release of the same day: 6.1.95, 6.6.35, 6.9.6;
// 6.6.143, 6.18.36, 7.0.13; 6.18.33, 7.0.10.
// Not a row: "tcp: introduce icsk->icsk_keepalive_timer" (6.1.191, 6.12.112) moves keepalive to a
// field of its own, and connections end as before.
constexpr KernelVersion kUserTimeout[] = {{6, 12, 91}, {6, 18, 33}, {7, 0, 10}, {7, 1, 0}};
constexpr KernelVersion kDenied[] = {{6, 1, 33}, {6, 4, 0}};
constexpr KernelVersion kAllowedAgain[] = {{6, 1, 60}, {6, 5, 9}, {6, 6, 0}};
constexpr KernelVersion kCloseWait[] = {{6, 1, 95}, {6, 6, 35}, {6, 9, 6}, {6, 10, 0}};
constexpr KernelVersion kOrphan[] = {{6, 1, 132}, {6, 6, 84}, {6, 10, 8}, {6, 11, 0}};
constexpr KernelVersion kMigration[] = {{6, 1, 175}, {6, 6, 140}, {6, 12, 86},
                                        {6, 18, 27}, {7, 0, 4},   {7, 1, 0}};
// A multishot recv looks again by itself unless its socket says that it is empty (io_recv_finish),
// which AF_UNIX does since then; TCP counts a FIN as more to read (tcp_inq_hint). Older series have
// the change as well, and never had the fault.
constexpr KernelVersion kUnixInq[] = {{6, 17, 0}};
constexpr KernelVersion kMultishot[] = {{6, 1, 175}, {6, 6, 140}, {6, 12, 86},
                                        {6, 18, 20}, {6, 19, 10}, {7, 0, 0}};
constexpr KernelVersion kFilter[] = {{6, 1, 176}, {6, 6, 143}, {6, 12, 94},
                                     {6, 18, 36}, {7, 0, 13},  {7, 1, 0}};
constexpr KernelVersion kNodesFreedAtOnce[] = {{6, 4, 0}};
constexpr KernelVersion kNodePerFile[] = {{6, 13, 0}};

constexpr std::string_view kNotServed = "Debian serves no kernel that has the fault";

constexpr Regression kRegressions[] = {
    {"zero-window-user-timeout",
     "TCP_USER_TIMEOUT behind a shut window is over, and the connection lives on while its peer "
     "sends",
     "tcp: make probe0 timer handle expired user timeout", "2b9f6f7065d4", kUserTimeout},
    {"disconnect-blocked-reader",
     "connect(AF_UNSPEC) of a socket that another thread waits on fails with EBUSY",
     "tcp: allow again tcp_disconnect() when threads are waiting", "419ce133ab92", kAllowedAgain,
     "tcp: deny tcp_disconnect() when threads are waiting", kDenied, kNotServed},
    {"close-wait-currestab",
     "connections in CLOSE_WAIT are missing in the counter CurrEstab",
     "tcp: count CLOSE-WAIT sockets for TCP_MIB_CURRESTAB",
     "a46d0ea5c942",
     kCloseWait,
     "",
     {},
     kNotServed},
    {"destroy-shut-window",
     "SOCK_DESTROY of a closed connection whose peer's window is shut leaves it there for ever, "
     "and the peer is told nothing",
     "tcp: fix forever orphan socket caused by tcp_abort",
     "bac76cf89816",
     kOrphan,
     "",
     {},
     kNotServed},
    {"listener-migration",
     "epoll is not told of connections that came over from a listener that closed "
     "(net.ipv4.tcp_migrate_req)",
     "tcp: call sk_data_ready() after listener migration", "3864c6ba1e04", kMigration},
    {"multishot-eof",
     "a multishot recv that finds data and the end at once delivers the data only, and waits for "
     "ever (AF_UNIX)",
     "io_uring/poll: fix multishot recv missing EOF on wakeup race", "a68ed2df7213", kMultishot,
     "af_unix: Introduce SO_INQ.", kUnixInq, kNotServed},
    {"filter-without-rights",
     "whoever may do nothing else can attach a filter to a TCP socket, and make a peer go silent",
     "tcp: restrict SO_ATTACH_FILTER to priv users", "5d39580f68e6", kFilter},
    {"direct-close-late",
     "the close of a direct descriptor has completed, and its FIN leaves a second later",
     "io_uring/rsrc: don't offload node free", "36b9818a5a84", kNodesFreedAtOnce},
    {"direct-close-waits",
     "the FIN of a closed direct descriptor waits for requests on the ring's other ones",
     "io_uring/rsrc: get rid of per-ring io_rsrc_node list", "7029acd8a950", kNodePerFile},
};
static_assert(named(kRegressions, &Regression::name));

}  // namespace

std::span<const Regression> regressions() { return kRegressions; }

Result<const Regression*> find_regression(std::string_view name) {
  const auto index = find_row("regression", regressions(), name);
  if (!index) return index.error();
  return &kRegressions[*index];
}

bool should_fail(const Regression& regression, const KernelVersion& version) {
  const bool has_cause =
      regression.introduced.empty() || has_arrived(regression.introduced, version);
  return has_cause && !has_arrived(regression.fixed, version);
}

std::string fixed_text(const Regression& regression) {
  const std::string fixed = to_text(regression.fixed);
  if (regression.introduced.empty()) return fixed;
  return fmt::format("{}; broken since {}", fixed, to_text(regression.introduced));
}

}  // namespace lastack::verify
