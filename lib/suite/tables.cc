#include "suite/tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/parse.h"
#include "base/rows.h"

namespace lastack::suite {
namespace {

// Rows that differ in one setting. Every text is `name=value name=value`; where both say something,
// the setting wins over what the block's rows have in common.
struct Setting {
  std::string name;  // of the row, behind the block's
  std::string parameters;
};
struct Block {
  std::string name;
  std::string common;
  std::vector<Setting> settings;
  int64_t repetitions = 1;
  int64_t rounds = 0;  // above 0: prices
  int64_t window_ns = 0;
};

std::vector<Row> rows_in(const std::vector<Block>& blocks) {
  std::vector<Row> rows;
  for (const Block& block : blocks)
    for (const Setting& setting : block.settings) {
      Parameters parameters = parse_parameters(block.common);
      for (auto& pair : parse_parameters(setting.parameters)) parameters.push_back(std::move(pair));
      const std::string name =
          setting.name.empty() ? block.name : fmt::format("{}-{}", block.name, setting.name);
      rows.push_back(
          {name, std::move(parameters), block.rounds, block.window_ns, block.repetitions});
    }
  return rows;
}

// A heartbeat goes out three times per deadline, so that one lost answer is no death. The run's
// deadline leaves a host with CPU hogs time to come round to its timers.
const std::vector<Setting> kHeartbeatDeadlines = {
    {"100ms", "heartbeat-deadline=100ms heartbeat-interval=33ms deadline=3100ms"},
    {"250ms", "heartbeat-deadline=250ms heartbeat-interval=83ms deadline=3250ms"},
    {"500ms", "heartbeat-deadline=500ms heartbeat-interval=166ms deadline=3500ms"},
    {"1s", "heartbeat-deadline=1s heartbeat-interval=333ms deadline=4s"},
    {"2s", "heartbeat-deadline=2s heartbeat-interval=666ms deadline=5s"},
    {"5s", "heartbeat-deadline=5s heartbeat-interval=1666ms deadline=8s"},
};
// Prices at both ends of those intervals. The deadline has no part in them, and is long so that
// nobody is given up.
const std::vector<Setting> kHeartbeatIntervals = {
    {"33ms", "heartbeat-interval=33ms heartbeat-deadline=10s"},
    {"1666ms", "heartbeat-interval=1666ms heartbeat-deadline=10s"},
};
const std::string kUringHeartbeats =
    "watch=recv probe=heartbeat-link,heartbeat-wheel,heartbeat-multishot ";
const std::string kEpollHeartbeats = "watch=epoll probe=heartbeat-timerfd,heartbeat-scan ";

// Where a kernel timer decides, the deadline is about two seconds more than predict() says.
std::vector<Row> dead_peer_full() {
  const std::string half_silent = "mix=silent=1,alive=1 connections=2k ";
  constexpr int64_t kRounds = 4, kWindow_ns = 1'500'000'000;
  return rows_in({
      {"keepalive",
       half_silent + "probe=keepalive",
       {{"1s-1s-2", "keepalive-idle=1s keepalive-interval=1s keepalive-count=2 deadline=5s"},
        {"2s-1s-3", "keepalive-idle=2s keepalive-interval=1s keepalive-count=3 deadline=7s"},
        {"1s-2s-2", "keepalive-idle=1s keepalive-interval=2s keepalive-count=2 deadline=8s"},
        {"3s-1s-1", "keepalive-idle=3s keepalive-interval=1s keepalive-count=1 deadline=6s"},
        {"1s-1s-5", "keepalive-idle=1s keepalive-interval=1s keepalive-count=5 deadline=8s"},
        {"5s-1s-2", "keepalive-idle=5s keepalive-interval=1s keepalive-count=2 deadline=9s"}}},
      // The count is high: only the user timeout can end these.
      {"keepalive+user-timeout",
       half_silent + "probe=keepalive+user-timeout keepalive-idle=1s keepalive-interval=1s "
                     "keepalive-count=9",
       {{"500ms", "user-timeout=500ms deadline=4s"},
        {"1500ms", "user-timeout=1500ms deadline=4s"},
        {"2500ms", "user-timeout=2500ms deadline=5s"},
        {"3500ms", "user-timeout=3500ms deadline=6s"},
        {"5s", "user-timeout=5s deadline=8s"},
        {"7s", "user-timeout=7s deadline=10s"}}},
      {"user-timeout",
       half_silent + "probe=user-timeout load=echo=2k/s warm-up=2s",
       {{"100ms", "user-timeout=100ms deadline=3500ms"},
        {"300ms", "user-timeout=300ms deadline=3800ms"},
        {"700ms", "user-timeout=700ms deadline=4s"},
        {"1500ms", "user-timeout=1500ms deadline=5s"},
        {"3s", "user-timeout=3s deadline=6500ms"},
        {"6s", "user-timeout=6s deadline=10s"}}},
      {"retransmit",
       half_silent + "probe=retransmit load=echo=2k/s warm-up=2s",
       {{"1-1s", "retries2=1 rto-max=1s deadline=5s"},
        {"2-1s", "retries2=2 rto-max=1s deadline=6s"},
        {"3-1s", "retries2=3 rto-max=1s deadline=7s"},
        {"5-1s", "retries2=5 rto-max=1s deadline=9s"},
        {"3", "retries2=3 deadline=8s"},
        {"4", "retries2=4 deadline=11s"}}},
      // A window that is full holds about 200 KB of the kernel's memory.
      {"stopped-reader-user-timeout",
       "mix=silent=1,alive=1 connections=1k probe=user-timeout reader=stopped warm-up=3s",
       {{"4s", "user-timeout=4s deadline=6s"}, {"6s", "user-timeout=6s deadline=8s"}}},
      {"stopped-reader-retransmit",
       "mix=silent=1,alive=1 connections=1k probe=retransmit rto-max=1s reader=stopped warm-up=3s",
       {{"2", "retries2=2 deadline=5s"},
        {"3", "retries2=3 deadline=6s"},
        {"4", "retries2=4 deadline=7s"}}},
      {"writer-user-timeout",
       "mix=silent=1,alive=1 connections=1k watch=writer write-rate=rate=5/s probe=user-timeout",
       {{"1s", "user-timeout=1s deadline=4s"}}},
      {"heartbeats-uring", half_silent + kUringHeartbeats, kHeartbeatDeadlines},
      {"heartbeats-epoll", half_silent + kEpollHeartbeats, kHeartbeatDeadlines},
      {"heartbeats-uring-hogs", half_silent + kUringHeartbeats + "cpu-hog=4", kHeartbeatDeadlines},
      {"heartbeats-epoll-hogs", half_silent + kEpollHeartbeats + "cpu-hog=4", kHeartbeatDeadlines},
      // The kernel of a frozen process goes on to answer keepalive probes.
      {"freeze",
       "mix=freeze connections=2k probe=keepalive,keepalive+heartbeat,heartbeat-wheel",
       {{"", "heartbeat-deadline=1s heartbeat-interval=333ms deadline=5s"}}},
      // Who comes back before the heartbeat's deadline has never been away.
      {"cable-restore",
       "mix=cable-restore connections=1k probe=heartbeat-wheel heartbeat-deadline=1s "
       "heartbeat-interval=333ms deadline=4s",
       {{"500ms", "cut-for=500ms"}, {"2s", "cut-for=2s"}}},
      {"neighbours",
       "mix=silent connections=1k load=bulk warm-up=1s neighbours=1k neighbour-load=echo=2k/s",
       {{"user-timeout", "probe=user-timeout user-timeout=1s deadline=4s"},
        {"heartbeat",
         "probe=heartbeat-wheel heartbeat-deadline=2s heartbeat-interval=666ms "
         "deadline=5s"}}},
      // Connections of one age send their probes all at once, each second: the window holds two.
      {"prices-kernel",
       "connections=500 watch=recv probe=keepalive,keepalive+user-timeout,user-timeout "
       "warm-up=500ms",
       {{"1s", "keepalive-idle=1s keepalive-interval=1s"}},
       1,
       kRounds,
       2 * kSecond_ns},
      {"prices-uring", "connections=500 " + kUringHeartbeats, kHeartbeatIntervals, 1, kRounds,
       kWindow_ns},
      {"prices-epoll", "connections=500 " + kEpollHeartbeats, kHeartbeatIntervals, 1, kRounds,
       kWindow_ns},
  });
}

std::vector<Row> dead_peer_quick() {
  const std::string half_silent = "mix=silent=1,alive=1 connections=200 ";
  const std::vector<Setting> heartbeat_deadline = {
      {"300ms", "heartbeat-deadline=300ms heartbeat-interval=100ms deadline=800ms"}};
  constexpr int64_t kRounds = 3, kWindow_ns = 300'000'000;
  return rows_in({
      {"keepalive",
       half_silent + "probe=keepalive,keepalive+user-timeout",
       {{"1s-1s-1",
         "keepalive-idle=1s keepalive-interval=1s keepalive-count=1 user-timeout=1500ms "
         "deadline=2500ms"}}},
      {"unanswered",
       half_silent + "probe=user-timeout,retransmit load=echo=2k/s warm-up=300ms",
       {{"", "user-timeout=100ms retries2=1 rto-max=1s deadline=2500ms"}}},
      // With fewer retries a live peer dies, too: of two probes within half a second it answers one
      // (tcp_invalid_ratelimit).
      {"stopped-reader",
       "mix=silent=1,alive=1 connections=50 probe=user-timeout,retransmit reader=stopped "
       "warm-up=300ms",
       {{"", "user-timeout=700ms retries2=2 rto-max=1s deadline=3200ms"}}},
      {"writer-user-timeout",
       "mix=silent=1,alive=1 connections=100 watch=writer write-rate=rate=20/s probe=user-timeout",
       {{"300ms", "user-timeout=300ms deadline=1500ms"}}},
      {"heartbeats-uring", half_silent + kUringHeartbeats, heartbeat_deadline},
      {"heartbeats-epoll-hogs", half_silent + kEpollHeartbeats + "cpu-hog=4", heartbeat_deadline},
      {"freeze",
       "mix=freeze connections=200 probe=keepalive,keepalive+heartbeat,heartbeat-wheel "
       "keepalive-count=1",
       {{"", "heartbeat-deadline=500ms heartbeat-interval=166ms deadline=2s"}}},
      {"cable-restore",
       "mix=cable-restore connections=100 probe=heartbeat-wheel heartbeat-deadline=600ms "
       "heartbeat-interval=200ms deadline=1s",
       {{"50ms", "cut-for=50ms"}, {"900ms", "cut-for=900ms"}}},
      {"neighbours",
       "mix=silent connections=50 load=bulk warm-up=200ms neighbours=50 neighbour-load=echo=500/s",
       {{"", "probe=user-timeout user-timeout=300ms deadline=1500ms"}}},
      {"prices-uring",
       "connections=100 watch=recv probe=heartbeat-wheel",
       {{"100ms", "heartbeat-interval=100ms heartbeat-deadline=10s"}},
       1,
       kRounds,
       kWindow_ns},
  });
}

std::vector<Row> dead_peer(bool quick) { return quick ? dead_peer_quick() : dead_peer_full(); }

// A tail of one in a thousand takes a thousand findings: of every strategy of a row, in every run.
std::vector<Row> rst(bool quick) {
  const std::string size =
      quick ? "connections=200 deadline=300ms " : "connections=2k deadline=500ms ";
  const std::string paced = size + "mix=fin=1,rst-linger=1 schedule=rate=4k/s ";
  const std::string storm =
      quick ? "connections=400 deadline=500ms " : "connections=10k deadline=1s ";
  const int64_t repetitions = quick ? 2 : 10;
  return rows_in({
      {"paced",
       paced,
       {{"recv", "watch=recv"},
        {"recv-multishot", "watch=recv-multishot"},
        {"poll", "watch=poll"},
        {"poll-multishot", "watch=poll-multishot"},
        {"epoll", "watch=epoll"},
        {"epoll-et", "watch=epoll-et"},
        {"ppoll", "watch=ppoll"},
        {"blocking", "watch=blocking"},
        {"recv-spin", "watch=recv wait=spin"}},
       repetitions},
      // Every way to go away, one after another.
      {"every-strategy",
       std::string("mix=all watch=recv ") +
           (quick ? "connections=300 schedule=rate=4k/s deadline=1s"
                  : "connections=10k schedule=rate=5k/s deadline=1s"),
       {{"", ""}},
       repetitions},
      {"storm",
       storm + "mix=fin=1,rst-linger=1",
       {{"recv", "watch=recv"}, {"epoll", "watch=epoll"}},
       repetitions},
      {"storm-process",
       storm + "watch=recv",
       {{"exit", "mix=exit"}, {"sigkill", "mix=sigkill"}, {"sigkill-unread", "mix=sigkill-unread"}},
       repetitions},
      // One process that holds all its sockets in one of three ways.
      {"killed-process",
       std::string("mix=sigkill watch=recv ") +
           (quick ? "connections=300 per-process=300 deadline=500ms"
                  : "connections=4k per-process=4k deadline=1s"),
       {{"descriptors", ""},
        {"armed-requests", "victim-requests=recv"},
        {"direct-descriptors", "descriptors=direct"}},
       repetitions},
      // Who finds what: no latency is asked for.
      {"findings",
       std::string("mix=all deadline=1s connections=") + (quick ? "300" : "3k"),
       {{"", "watch=recv,epoll,blocking"}},
       repetitions},
  });
}

std::vector<Row> pipe_rows(bool quick) {
  const std::string common =
      std::string("watch=writer mix=fin=1,rst-linger=1 write-rate=rate=20/s schedule=rate=4k/s ") +
      (quick ? "connections=100 deadline=500ms" : "connections=1k deadline=1s");
  return rows_in({{"pipe",
                   common,
                   {{"send", "write-path=send"},
                    {"sendmsg", "write-path=sendmsg"},
                    {"write", "write-path=write"},
                    {"splice", "write-path=splice"},
                    {"send-call", "write-path=send-call"},
                    {"send-nosignal", "write-path=send-nosignal"},
                    {"write-call", "write-path=write-call"},
                    {"sendfile", "write-path=sendfile"},
                    {"poll-before-send", "write-path=send-nosignal before-write=poll"}},
                   quick ? 2 : 10}});
}

std::vector<Row> scale(bool quick) {
  const std::string mix = "mix=fin=1,rst-linger=1 watch=recv ";
  const int64_t repetitions = quick ? 2 : 5;
  if (quick)
    return rows_in(
        {{"scale-storm",
          mix,
          {{"100", "connections=100 deadline=300ms"}, {"1k", "connections=1k deadline=500ms"}},
          repetitions}});
  return rows_in({{"scale-storm",
                   mix,
                   {{"1k", "connections=1k deadline=1s"},
                    {"10k", "connections=10k deadline=1s"},
                    {"30k", "connections=30k deadline=2s"},
                    {"100k", "connections=100k deadline=5s"}},
                   repetitions},
                  {"scale-rate",
                   mix + "schedule=rate=5k/s",
                   {{"1k", "connections=1k deadline=1s"}, {"30k", "connections=30k deadline=1s"}},
                   repetitions}});
}

std::vector<Row> quick_rows(bool quick) {
  // Fewer could not show that one row alone differs.
  const int64_t repetitions = quick ? 2 : 7;
  const std::string size = quick ? "connections=100 " : "connections=1k ";
  const std::string paced = size + "schedule=rate=4k/s deadline=300ms ";
  return rows_in({
      {"quick-paced",
       paced,
       {{"recv", "mix=fin=1,rst-linger=1 watch=recv"},
        {"epoll", "mix=fin=1,rst-linger=1 watch=epoll"}},
       repetitions},
      {"quick-storm",
       size + "mix=fin=1,rst-linger=1,sigkill=1 deadline=500ms",
       {{"", ""}},
       repetitions},
      {"quick-findings",
       std::string("mix=all watch=recv,epoll deadline=1s connections=") + (quick ? "60" : "600"),
       {{"", ""}},
       repetitions},
      {"quick-pipe",
       size + "mix=fin=1,rst-linger=1 watch=writer write-path=send write-rate=rate=20/s "
              "schedule=rate=4k/s deadline=500ms",
       {{"", ""}},
       repetitions},
      {"quick-heartbeat",
       size + "mix=silent=1,alive=1 probe=heartbeat-wheel heartbeat-deadline=300ms "
              "heartbeat-interval=100ms deadline=800ms",
       {{"", ""}},
       repetitions},
  });
}

// Of each way to go away and to watch the shortest way through the kernel: an act each 5 ms, which
// finds the CPU asleep. Where both ends share a CPU, what the victim does next is in no latency.
std::vector<Row> path_length(bool quick) {
  const std::string alone = "victim-policy=idle deadline=1s ";
  const std::string connections = alone + (quick ? "connections=20 schedule=rate=200/s "
                                                 : "connections=200 schedule=rate=200/s ");
  const std::string processes = alone + "per-process=1 schedule=rate=100/s " +
                                (quick ? "connections=10 " : "connections=60 ");
  const std::string storm = alone + (quick ? "connections=200 " : "connections=2k ");
  // Twenty seconds hold 19 probes of each connection.
  const std::string alive =
      std::string("mix=alive victim-policy=idle ") +
      (quick ? "connections=20 deadline=3s " : "connections=200 deadline=20s ");
  const std::vector<Setting> watches = {
      {"recv", "watch=recv"},        {"recv-multishot", "watch=recv-multishot"},
      {"poll", "watch=poll"},        {"poll-multishot", "watch=poll-multishot"},
      {"epoll", "watch=epoll"},      {"epoll-et", "watch=epoll-et"},
      {"blocking", "watch=blocking"}};
  const std::vector<Setting> both = {{"recv", "watch=recv"}, {"epoll", "watch=epoll"}};
  const std::vector<Setting> scans = {{"select", "watch=select"}, {"ppoll", "watch=ppoll"}};
  const std::vector<Setting> write_paths = {{"send", "write-path=send"},
                                            {"send-call", "write-path=send-call"}};
  std::vector<Block> blocks;
  for (const char* strategy : {"fin", "rst-linger"}) {
    blocks.push_back({strategy, connections + "mix=" + strategy, watches});
    // They look at every connection that is left: a tenth of them.
    blocks.push_back(
        {strategy, alone + "schedule=rate=200/s connections=20 mix=" + strategy, scans});
  }
  for (const char* strategy : {"fin-data", "half-close", "shutdown-both", "rst-disconnect",
                               "rst-unread", "rst-unread-data", "destroy", "linger2"})
    blocks.push_back({strategy, connections + "mix=" + strategy, both});
  for (const char* strategy : {"exit", "exit-unread", "sigkill", "sigkill-unread"})
    blocks.push_back({strategy, processes + "mix=" + strategy, both});
  for (const char* strategy : {"fin", "rst-linger", "vanish"})
    blocks.push_back({fmt::format("write-{}", strategy),
                      connections + "watch=writer write-rate=rate=100/s mix=" + strategy,
                      write_paths});
  for (const char* strategy : {"fin", "rst-linger"})
    blocks.push_back({fmt::format("storm-{}", strategy), storm + "mix=" + strategy, both});
  blocks.push_back(
      {"alive",
       alive,
       {{"none", ""},
        {"keepalive", "probe=keepalive keepalive-idle=1s keepalive-interval=1s"},
        {"heartbeat-link", "probe=heartbeat-link heartbeat-deadline=3s"},
        {"heartbeat-wheel", "probe=heartbeat-wheel heartbeat-deadline=3s"},
        {"heartbeat-multishot", "probe=heartbeat-multishot heartbeat-deadline=3s"},
        {"none-epoll", "watch=epoll"},
        {"heartbeat-timerfd",
         "watch=epoll probe=heartbeat-timerfd "
         "heartbeat-deadline=3s"},
        {"heartbeat-scan", "watch=epoll probe=heartbeat-scan heartbeat-deadline=3s"}}});
  return rows_in(blocks);
}

std::vector<Row> full(bool quick) {
  std::vector<Row> rows;
  for (const auto part : {rst, pipe_rows, scale, dead_peer})
    for (Row& row : part(quick)) rows.push_back(std::move(row));
  return rows;
}

constexpr Suite kSuites[] = {
    {"quick", "a little of everything, in half a minute", quick_rows},
    {"rst", "how soon which watch finds a FIN or an RST, alone and in storms", rst},
    {"pipe", "what writers lose before they learn of it, by every way to write", pipe_rows},
    {"dead-peer", "how soon which probe finds a peer that fell silent, and what it costs",
     dead_peer},
    {"scale", "the same with a thousand to a hundred thousand connections", scale},
    {"path-length",
     "how far it is from act to finding, and what opening, arming, probes and writes to the dead "
     "cost: one at a time, for virtual time (scripts/kernel_lab.py --deterministic)",
     path_length},
    {"full", "every row of rst, pipe, scale and dead-peer", full, true},
};
static_assert(named(kSuites, &Suite::name));

}  // namespace

std::span<const Suite> suites() { return kSuites; }

Result<const Suite*> find_suite(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Suite& suite : kSuites) {
    if (suite.name == name) return &suite;
    names.push_back(suite.name);
  }
  names.push_back("regressions");  // verify/regression_suite.h
  names.push_back("list");
  return unknown_name("suite", name, names);
}

Parameters parse_parameters(std::string_view text) {
  Parameters parameters;
  for (const std::string_view word : split(text, ' ')) {
    if (word.empty()) continue;
    const size_t equals = std::min(word.find('='), word.size());
    const size_t value = std::min(equals + 1, word.size());
    parameters.emplace_back(word.substr(0, equals), word.substr(value));
  }
  return parameters;
}

}  // namespace lastack::suite
