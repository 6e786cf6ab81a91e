#include "null_rows.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/affinity.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rows.h"
#include "ring/ring.h"

namespace lastack {
namespace {

constexpr int kEvents = 2'000;
constexpr int64_t kWakeInterval_ns = 500 * kMicrosecond_ns;  // 2,000 a second, as rst_latency_block
constexpr int64_t kSpinBefore_ns = 150 * kMicrosecond_ns;    // as victims do
constexpr int64_t kPatience_ns = 5 * kSecond_ns;
constexpr RingSetup kRing = {.submission_entries = 8, .completion_entries = 16};

struct Reaped {
  int result = 0;
  int64_t found_ns = 0;
};

// One completion, taken and stamped as the survivors on a ring do it.
Result<Reaped> reap(Ring& ring, bool spin, int64_t until_ns) {
  io_uring_cqe* completion = nullptr;
  while (true) {
    if (spin)
      ring.poll();
    else
      ring.wait_until(until_ns);
    if (const Status failed = ring.status("null row")) return *failed;
    const auto completions = ring.completions(std::span(&completion, 1));
    const int64_t now = now_ns();
    if (!completions.empty()) {
      const Reaped reaped{completion->res, now};
      ring.seen(1);
      return reaped;
    }
    if (now >= until_ns) return plain_error("a request was not completed");
  }
}

Result<Histogram> measure_clock(NullCpus) {
  Histogram latencies;
  for (int i = 0; i < kEvents; ++i) {
    const int64_t first_ns = now_ns();
    latencies.record(now_ns() - first_ns);
  }
  return latencies;
}

Result<Histogram> measure_ring_spin(NullCpus) {
  auto ring = Ring::open(kRing);
  if (!ring) return ring.error();
  const int64_t until_ns = now_ns() + kPatience_ns;
  Histogram latencies;
  for (int i = 0; i < kEvents; ++i) {
    io_uring_sqe* entry = ring->entry();
    if (!entry) return *ring->status("nop");
    const int64_t issued_ns = now_ns();
    io_uring_prep_nop(entry);
    ring->submit();
    const auto reaped = reap(*ring, true, until_ns);
    if (!reaped) return reaped.error();
    if (reaped->result < 0) return make_error("nop", -reaped->result, "");
    latencies.record(reaped->found_ns - issued_ns);
  }
  return latencies;
}

// Who wakes. A stamp is stored before its write, so that the sleeper finds it.
struct Waker {
  int event;
  int64_t start_ns = now_ns() + 10 * kMillisecond_ns;  // the sleeper sleeps by then
  std::vector<std::atomic<int64_t>> issued_ns = std::vector<std::atomic<int64_t>>(kEvents);
  std::atomic<int> failed = 0;  // errno
  std::atomic<bool> stop = false;
};

void write_events(Waker& waker, int cpu) {
  if (const Status bad = pin_to(cpu)) {
    waker.failed = bad->error_number;
    return;
  }
  constexpr uint64_t kOne = 1;
  for (int i = 0; i < kEvents && !waker.stop; ++i) {
    const int64_t due_ns = waker.start_ns + i * kWakeInterval_ns;
    if (now_ns() < due_ns - kSpinBefore_ns) sleep_until(due_ns - kSpinBefore_ns);
    int64_t issued_ns = now_ns();
    while (issued_ns < due_ns) issued_ns = now_ns();
    waker.issued_ns[static_cast<size_t>(i)] = issued_ns;
    if (write(waker.event, &kOne, sizeof(kOne)) != sizeof(kOne)) {
      waker.failed = errno;
      return;
    }
  }
}

Result<Histogram> sleep_and_record(Ring& ring, Waker& waker, uint64_t& value) {
  Histogram latencies;
  for (int i = 0; i < kEvents; ++i) {
    io_uring_sqe* entry = ring.entry();
    if (!entry) return *ring.status("read");
    io_uring_prep_read(entry, waker.event, &value, sizeof(value), 0);
    const auto reaped = reap(ring, false, now_ns() + kPatience_ns);
    if (waker.failed) return make_error("wake", waker.failed, "eventfd");
    if (!reaped) return reaped.error();
    if (reaped->result < 0) return make_error("read", -reaped->result, "eventfd");
    latencies.record(reaped->found_ns - waker.issued_ns[static_cast<size_t>(i)]);
  }
  return latencies;
}

Result<Histogram> measure_wake(NullCpus cpus) {
  if (cpus.acting == cpus.measuring) return plain_error("needs two CPUs");
  // A semaphore: who overslept two events reads twice, and misses none.
  const Fd event(eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  if (!event.valid()) return errno_error("eventfd");
  uint64_t value = 0;
  auto ring = Ring::open(kRing);
  if (!ring) return ring.error();
  Waker waker{.event = event.get()};
  std::thread thread(write_events, std::ref(waker), cpus.acting);
  auto latencies = sleep_and_record(*ring, waker, value);
  waker.stop = true;
  thread.join();
  if (!latencies) (void)ring->cancel_all();  // a read may be armed, and `value` goes
  return latencies;
}

constexpr NullRow kNullRows[] = {
    // Two readings of the clock, one after the other.
    {"clock", measure_clock},
    // A request that does nothing, there and back, by who does not sleep.
    {"ring-spin", measure_ring_spin},
    // From a write on another CPU to the sleeper whose armed read it completes.
    {"wake", measure_wake},
};
static_assert(named(kNullRows, &NullRow::name));

}  // namespace

std::span<const NullRow> null_rows() { return kNullRows; }

Result<Histogram> measure_null_row(const NullRow& row, NullCpus cpus) {
  Result<Histogram> measured = Histogram();
  std::thread thread([&] {
    const Status bad = pin_to(cpus.measuring);
    measured = bad ? Result<Histogram>(*bad) : row.measure(cpus);
  });
  thread.join();
  return measured;
}

}  // namespace lastack
