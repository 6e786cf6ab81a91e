// The traps of io_uring and TCP that would make a death a different one, or hide it. Each test
// first shows that the trap is real on this kernel (the canary), then that lastack's way around it
// works. A canary that fails says that the kernel changed, and that a guard may have become
// superfluous.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "model/strategy.h"
#include "net/socket.h"
#include "ring/ring.h"
#include "shard/table.h"
#include "survivor/survivor.h"
#include "survivor/uring_survivor.h"
#include "victim/ring_victim.h"

namespace lastack::live {
namespace {

constexpr int64_t kPatience_ns = 5 * kSecond_ns;
constexpr int64_t kMoment_ns = 50 * kMillisecond_ns;

struct Pair {
  Fd victim, survivor;
};

Pair connect_pair() {
  auto listener = open_listener(Family::inet, loopback_address(Family::inet, 0), 8);
  const auto address = read_local_address(listener->get());
  auto victim = open_socket(Family::inet);
  const SocketAddress target = to_socket_address(Family::inet, *address);
  EXPECT_EQ(connect(victim->get(), target.get(), target.length), 0);
  return {std::move(*victim), Fd(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC))};
}

Ring open_ring() { return std::move(*Ring::open({.mode = RingMode::defer})); }

// The poll events of a socket that show within the time; 0 when none do.
short events_within(const Fd& socket, int64_t time_ns) {
  pollfd waited{socket.get(), POLLIN | POLLRDHUP, 0};
  poll(&waited, 1, static_cast<int>(time_ns / kMillisecond_ns));
  return waited.revents;
}

struct Completion {
  uint64_t user_data;
  int result;
  unsigned flags;
};

std::optional<Completion> next_completion(Ring& ring, int64_t time_ns = kPatience_ns) {
  const int64_t until_ns = now_ns() + time_ns;
  std::array<io_uring_cqe*, 1> batch;
  while (now_ns() < until_ns) {
    ring.wait_until(until_ns);
    const auto ready = ring.completions(batch);
    if (ready.empty()) continue;
    const Completion completion{ready[0]->user_data, ready[0]->res, ready[0]->flags};
    ring.seen(1);
    return completion;
  }
  return std::nullopt;
}

void arm_receive(Ring& ring, int socket, void* buffer, size_t bytes, uint64_t user_data) {
  io_uring_sqe* sqe = ring.entry();
  io_uring_prep_recv(sqe, socket, buffer, bytes, 0);
  io_uring_sqe_set_data64(sqe, user_data);
  ring.submit();
}

int close_by_ring(Ring& ring, Fd& socket) {
  io_uring_sqe* sqe = ring.entry();
  io_uring_prep_close(sqe, socket.release());
  io_uring_sqe_set_data64(sqe, 99);
  ring.submit();
  const auto completion = next_completion(ring);
  return completion ? completion->result : -ETIME;
}

// One shard with a single connection of one row, in this process: the real victim and survivor.
struct OneConnection {
  ShardTable table;
  Pair pair;

  explicit OneConnection(const std::string& strategy, Watch watch = Watch::recv,
                         Load load = Load::idle, bool direct = false)
      : table(std::move(*ShardTable::create(1))), pair(connect_pair()) {
    ShardSettings& settings = table.view().header->settings;
    settings.row_count = 1;
    settings.engine = watch_row(watch).engine;
    settings.ring = RingMode::defer;
    settings.most_completions = kMostCompletions;
    settings.payload_bytes = 64;
    settings.traffic.load = load;
    settings.traffic.round_trips_per_second = 100;
    settings.victims.direct_descriptors = direct;
    for (uint16_t i = 0; i < strategies().size(); ++i)
      if (strategies()[i].name == strategy) table.view().header->rows[0] = {i, watch, Probe::none};
    VictimEnd& victim = table.view().victims[0];
    victim.tuple = *read_four_tuple(pair.victim.get());
    victim.descriptor = pair.victim.release();
    victim.flags = kEstablished;
    SurvivorEnd& survivor = table.view().survivors[0];
    survivor.tuple = *read_four_tuple(pair.survivor.get());
    survivor.descriptor = dup(pair.survivor.get());
    survivor.flags = kEstablished;
  }
  VictimEnd& victim() { return table.view().victims[0]; }
  SurvivorEnd& survivor() { return table.view().survivors[0]; }
};

struct ControlPipe {
  int ends[2];
  ControlPipe() { EXPECT_EQ(pipe(ends), 0); }
  ~ControlPipe() {
    close(ends[0]);
    close(ends[1]);
  }
};

// Lets the survivor's loop run until it has a finding or the time is over.
void watch_until_found(OneConnection& one, Survivor& survivor, const ControlPipe& control,
                       int64_t time_ns = 500 * kMillisecond_ns) {
  const int64_t until_ns = now_ns() + time_ns;
  // Not the record's flags: with --watch blocking another thread writes them.
  const auto& found = one.table.view().header->progress.found;
  while (found.load(std::memory_order_acquire) == 0 && now_ns() < until_ns) {
    // The control socket wakes the loop, as the coordinator's messages do.
    ASSERT_EQ(write(control.ends[1], "x", 1), 1);
    EXPECT_FALSE(survivor.run_until_control());
    char byte;
    ASSERT_EQ(read(control.ends[0], &byte, 1), 1);
    sleep_for(kMillisecond_ns);
  }
}

TEST(Trap, ACloseWithARequestInFlightSendsNothing) {
  Pair pair = connect_pair();
  Ring ring = open_ring();
  char buffer[16];
  arm_receive(ring, pair.victim.get(), buffer, sizeof(buffer), 1);
  EXPECT_EQ(close_by_ring(ring, pair.victim), 0);
  EXPECT_EQ(events_within(pair.survivor, kMoment_ns), 0) << "canary: the FIN left all the same";
  EXPECT_FALSE(ring.cancel_all());
  EXPECT_EQ(events_within(pair.survivor, kPatience_ns), POLLIN | POLLRDHUP);
}

TEST(Trap, TheVictimCancelsItsRequestsBeforeItCloses) {
  for (const bool direct : {false, true}) {
    OneConnection one("rst-linger", Watch::recv, Load::echo, direct);
    ControlPipe control;
    auto victim = RingVictim::open(one.table.view(), control.ends[0], {0});
    ASSERT_TRUE(victim);
    ASSERT_FALSE(victim->prepare());
    ASSERT_FALSE(victim->arm());  // echo: a receive is in flight
    EXPECT_TRUE(one.victim().flags & kReceiveArmed);
    victim->inject(0);
    EXPECT_EQ(one.victim().act_error, 0);
    EXPECT_TRUE(events_within(one.pair.survivor, kMoment_ns) & POLLHUP) << "direct: " << direct;
    close(one.survivor().descriptor);
  }
}

TEST(Trap, ShutdownBeforeCloseTurnsAnAbortIntoAFin) {
  Pair pair = connect_pair();
  ASSERT_FALSE(set_option(pair.victim.get(), Option::linger, 0));
  shutdown(pair.victim.get(), SHUT_RDWR);
  EXPECT_EQ(events_within(pair.survivor, kPatience_ns), POLLIN | POLLRDHUP);
  char byte;
  EXPECT_EQ(recv(pair.survivor.get(), &byte, 1, MSG_DONTWAIT), 0) << "canary: it was an RST";
  // The strategies that abort never shut down first.
  for (const Strategy& strategy : strategies()) {
    if (strategy.family != "rst") continue;
    for (const Step step : {strategy.prepare, strategy.ready, strategy.act})
      EXPECT_TRUE(step != Step::shutdown_write && step != Step::shutdown_both) << strategy.name;
  }
}

TEST(Trap, AnArmedReceiveEatsTheUnreadByte) {
  Pair pair = connect_pair();
  Ring ring = open_ring();
  char buffer[16];
  arm_receive(ring, pair.victim.get(), buffer, sizeof(buffer), 1);
  ASSERT_EQ(send(pair.survivor.get(), "u", 1, 0), 1);
  ASSERT_EQ(next_completion(ring)->result, 1);
  EXPECT_EQ(close_by_ring(ring, pair.victim), 0);
  char byte;
  EXPECT_EQ(events_within(pair.survivor, kPatience_ns), POLLIN | POLLRDHUP);
  EXPECT_EQ(recv(pair.survivor.get(), &byte, 1, MSG_DONTWAIT), 0) << "canary: it was an RST";
}

TEST(Trap, UnderLoadTheUnreadByteStaysUnread) {
  OneConnection one("rst-unread", Watch::recv, Load::echo);
  ControlPipe control;
  auto victim = RingVictim::open(one.table.view(), control.ends[0], {0});
  ASSERT_TRUE(victim);
  ASSERT_EQ(send(one.pair.survivor.get(), "u", 1, 0), 1);
  ASSERT_FALSE(victim->prepare());  // sees the byte queued
  ASSERT_FALSE(victim->arm());
  EXPECT_FALSE(one.victim().flags & kReceiveArmed);
  victim->inject(0);
  EXPECT_TRUE(events_within(one.pair.survivor, kPatience_ns) & POLLERR);
  const auto error = take_socket_error(one.pair.survivor.get());
  ASSERT_TRUE(error) << error.error().message();
  EXPECT_EQ(*error, ECONNRESET);
  close(one.survivor().descriptor);
}

TEST(Trap, AnEmptyBufferRingHidesTheReset) {
  Pair pair = connect_pair();
  Ring ring = open_ring();
  auto buffers = BufferRing::open(ring, 1, 4096, 7);
  ASSERT_TRUE(buffers);
  const auto arm = [&] {
    io_uring_sqe* sqe = ring.entry();
    io_uring_prep_recv_multishot(sqe, pair.survivor.get(), nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 7;
    io_uring_sqe_set_data64(sqe, 1);
    ring.submit();
  };
  arm();
  ASSERT_EQ(send(pair.victim.get(), "a", 1, 0), 1);
  ASSERT_EQ(next_completion(ring)->result, 1);  // takes the only buffer, and does not give it back
  ASSERT_EQ(send(pair.victim.get(), "b", 1, 0), 1);
  ASSERT_FALSE(set_option(pair.victim.get(), Option::linger, 0));
  pair.victim.reset();
  EXPECT_EQ(next_completion(ring)->result, -ENOBUFS) << "canary: the shortage is not reported";
  buffers->recycle(0);
  arm();  // what the survivor does on ENOBUFS
  EXPECT_EQ(next_completion(ring)->result, 1);
  auto last = next_completion(ring, 0);
  // Each further shortage is answered in the same way, until the RST shows.
  for (int i = 0; i < 3 && !(last && last->result == -ECONNRESET); ++i) {
    if (i == 0) buffers->recycle(0);
    if (last && !(last->flags & IORING_CQE_F_MORE)) arm();
    last = next_completion(ring, 200 * kMillisecond_ns);
  }
  ASSERT_TRUE(last);
  EXPECT_EQ(last->result, -ECONNRESET);
}

TEST(Trap, AMultishotPollStaysArmedAfterTheEnd) {
  Pair pair = connect_pair();
  Ring ring = open_ring();
  io_uring_sqe* sqe = ring.entry();
  io_uring_prep_poll_multishot(sqe, pair.survivor.get(), POLLIN | POLLRDHUP);
  ring.submit();
  ASSERT_FALSE(set_option(pair.victim.get(), Option::linger, 0));
  pair.victim.reset();
  const auto completion = next_completion(ring);
  EXPECT_TRUE(completion->result & POLLHUP);
  EXPECT_TRUE(completion->flags & IORING_CQE_F_MORE) << "canary: the poll ended by itself";
}

TEST(Trap, WhoAsksFirstGetsTheErrno) {
  Pair pair = connect_pair();
  ASSERT_FALSE(set_option(pair.victim.get(), Option::linger, 0));
  pair.victim.reset();
  ASSERT_TRUE(events_within(pair.survivor, kPatience_ns) & POLLERR);
  EXPECT_EQ(send(pair.survivor.get(), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, ECONNRESET);
  char byte;
  EXPECT_EQ(recv(pair.survivor.get(), &byte, 1, MSG_DONTWAIT), 0) << "canary: not consumed";
  // The read alone looks like a FIN; with the lasting evidence it does not.
  Evidence evidence;
  evidence.read_eof = true;
  const auto state = read_tcp_state(pair.survivor.get());
  ASSERT_TRUE(state) << state.error().message();
  evidence.tcp_state = *state;
  EXPECT_EQ(evidence.tcp_state, kTcpClose);
  EXPECT_EQ(classify(evidence).finding, Finding::econnreset);
}

TEST(Trap, AFinThenAnRstIsNotAFin) {
  for (const WatchRow& watch : watches()) {
    if (watch.engine == Engine::writer) continue;  // it writes before the FIN, too
    SCOPED_TRACE(watch.name);
    OneConnection one("fin-then-rst", watch.id);
    ControlPipe control, victim_control;
    auto opened = open_survivor(one.table.view(), control.ends[0]);
    auto victim = RingVictim::open(one.table.view(), victim_control.ends[0], {0});
    ASSERT_TRUE(opened && victim);
    const std::unique_ptr<Survivor> survivor = std::move(*opened);
    ASSERT_FALSE(send_unread_bytes(one.table.view()));
    ASSERT_FALSE(victim->prepare());
    ASSERT_FALSE(survivor->arm());  // not this watch: it would find the FIN
    EXPECT_FALSE(one.survivor().flags & kReceiveArmed);
    victim->inject(0);
    const uint32_t slots[] = {0};
    survivor->hear_of_acts(slots);
    watch_until_found(one, *survivor, control, kPatience_ns);
    EXPECT_EQ(one.survivor().finding, Finding::epipe);
    EXPECT_GE(one.survivor().written_ns, one.victim().issued_ns);
    EXPECT_GE(one.survivor().found_ns, one.survivor().written_ns);
    EXPECT_FALSE(survivor->clean_up());
  }
}

TEST(Trap, SelectNeverTouchesADescriptorOutsideOfItsSet) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max <= FD_SETSIZE) GTEST_SKIP() << "no descriptor can be that high here";
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  OneConnection one("rst-linger", Watch::select);
  const Fd high(fcntl(one.survivor().descriptor, F_DUPFD_CLOEXEC, FD_SETSIZE));
  ASSERT_TRUE(high.valid());
  close(std::exchange(one.survivor().descriptor, high.get()));
  ControlPipe control;
  const auto survivor = open_survivor(one.table.view(), control.ends[0]);
  ASSERT_FALSE(survivor);
  EXPECT_NE(survivor.error().message().find("FD_SETSIZE"), std::string::npos);
}

TEST(Trap, AThreadInRecvEndsWithItsSurvivor) {
  // close() alone would leave it in its recv(): only shutdown() wakes it.
  OneConnection one("silent", Watch::blocking);
  ControlPipe control;
  auto survivor = open_survivor(one.table.view(), control.ends[0]);
  ASSERT_TRUE(survivor);
  ASSERT_FALSE((*survivor)->arm());
  EXPECT_FALSE((*survivor)->clean_up());  // joins it
  EXPECT_FALSE(one.survivor().flags & kConcluded);
}

TEST(Trap, ADeferredRingShowsNothingUntilTheThreadAsks) {
  Pair pair = connect_pair();
  Ring ring = open_ring();
  char buffer[16];
  arm_receive(ring, pair.survivor.get(), buffer, sizeof(buffer), 1);
  pair.victim.reset();
  ASSERT_NE(events_within(pair.survivor, kPatience_ns), 0);
  EXPECT_EQ(io_uring_cq_ready(ring.raw()), 0u) << "canary: it was posted without being asked for";
  ring.poll();
  EXPECT_EQ(io_uring_cq_ready(ring.raw()), 1u);
}

TEST(Trap, AFullCompletionQueueKeepsEverythingAndIsCounted) {
  auto ring =
      Ring::open({.mode = RingMode::plain, .submission_entries = 8, .completion_entries = 8});
  ASSERT_TRUE(ring);
  constexpr int kRequests = 64;
  for (int i = 0; i < kRequests; ++i) {
    io_uring_prep_nop(ring->entry());
    ring->submit();
  }
  int reaped = 0;
  while (next_completion(*ring, 100 * kMillisecond_ns)) ++reaped;
  EXPECT_EQ(reaped, kRequests);
  EXPECT_GT(ring->overflows(), 0u);
}

TEST(Trap, ASilencedSocketIsForgottenWithoutAPacket) {
  OneConnection one("silent");
  ControlPipe control;
  auto victim = RingVictim::open(one.table.view(), control.ends[0], {0});
  ASSERT_TRUE(victim);
  ASSERT_FALSE(victim->prepare());
  victim->inject(0);
  ASSERT_EQ(one.victim().act_error, 0);
  EXPECT_EQ(send(one.pair.survivor.get(), "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(events_within(one.pair.survivor, kMoment_ns), 0);
  EXPECT_FALSE(victim->clean_up());  // a plain close would send its FIN now
  EXPECT_EQ(events_within(one.pair.survivor, kMoment_ns), 0);
  close(one.survivor().descriptor);
}

TEST(Trap, T0IsNeverAfterTheAct) {
  // Loopback delivers the RST inside the victim's call. Another thread watches for it all the time:
  // were t0 taken after the call, the RST would often be there before t0.
  for (int i = 0; i < 200; ++i) {
    OneConnection one("rst-linger");
    ControlPipe control;
    auto victim = RingVictim::open(one.table.view(), control.ends[0], {0});
    ASSERT_TRUE(victim);
    ASSERT_FALSE(victim->prepare());
    std::atomic<bool> watching{false};
    int64_t arrived_ns = 0;
    std::thread watcher([&] {
      watching = true;
      while (!(events_within(one.pair.survivor, 0) & POLLHUP)) {
      }
      arrived_ns = now_ns();
    });
    while (!watching) sched_yield();
    victim->inject(0);
    watcher.join();
    ASSERT_LE(one.victim().issued_ns, arrived_ns);
    close(one.survivor().descriptor);
  }
}

}  // namespace
}  // namespace lastack::live
