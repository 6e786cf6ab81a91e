#include "ring/ring.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/rows.h"

namespace lastack {
namespace {

constexpr RingModeRow kRingModes[] = {
    {RingMode::plain, "default", "no set-up flag: completions interrupt the thread"},
    {RingMode::coop, "coop", "COOP_TASKRUN: completions wait for the thread's next system call"},
    {RingMode::defer, "defer", "DEFER_TASKRUN: completions are made when the thread asks for them"},
    {RingMode::sqpoll, "sqpoll", "SQPOLL: a kernel thread submits and completes"},
};
static_assert(indexed(kRingModes));

}  // namespace

std::span<const RingModeRow> ring_modes() { return kRingModes; }

int64_t ring_bytes(int64_t submissions, int64_t completions, int64_t page_bytes) {
  constexpr int64_t kHeaderBytes = 512;  // struct io_rings, rounded up
  const auto pages = [&](int64_t bytes) { return (bytes + page_bytes - 1) / page_bytes; };
  const auto entries = static_cast<int64_t>(
      std::bit_ceil(static_cast<uint64_t>(std::min(completions, kMostCompletions))));
  const int64_t queues = kHeaderBytes + entries * static_cast<int64_t>(sizeof(io_uring_cqe)) +
                         submissions * static_cast<int64_t>(sizeof(uint32_t));
  const int64_t requests = submissions * static_cast<int64_t>(sizeof(io_uring_sqe));
  return (pages(queues) + pages(requests)) * page_bytes;
}

std::optional<bool> rings_are_locked() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const rlimit none{0, limit.rlim_max};
  setrlimit(RLIMIT_MEMLOCK, &none);
  io_uring_params parameters{};
  const Fd ring(static_cast<int>(syscall(SYS_io_uring_setup, 8, &parameters)));
  const int failed = ring.valid() ? 0 : errno;
  setrlimit(RLIMIT_MEMLOCK, &limit);
  if (failed != 0 && failed != ENOMEM) return std::nullopt;
  return failed == ENOMEM;
}

Result<Ring> Ring::open(const RingSetup& setup) {
  io_uring_params parameters{};
  // Every armed request of every connection can complete at once.
  parameters.flags |= IORING_SETUP_CQSIZE;
  parameters.cq_entries = setup.completion_entries;
  // A storm may ask for more than the kernel's limit of 65,536: take the limit, and let the
  // kernel's overflow list hold the rest.
  parameters.flags |= IORING_SETUP_CLAMP;
  // One bad entry must not keep the rest of a batch from being submitted.
  parameters.flags |= IORING_SETUP_SUBMIT_ALL;
  switch (setup.mode) {
    case RingMode::plain:
      break;
    case RingMode::coop:
      // No inter-processor interrupt per completion...
      parameters.flags |= IORING_SETUP_COOP_TASKRUN;
      // ...but a flag in shared memory, else a spinning thread would see its completions only at
      // the next tick (milliseconds).
      parameters.flags |= IORING_SETUP_TASKRUN_FLAG;
      break;
    case RingMode::defer:
      // Only this thread submits, which DEFER_TASKRUN requires.
      parameters.flags |= IORING_SETUP_SINGLE_ISSUER;
      // Completions are made in one batch inside the wait, not at every system call.
      parameters.flags |= IORING_SETUP_DEFER_TASKRUN;
      // Spinning on a flag costs no system call while nothing happens.
      parameters.flags |= IORING_SETUP_TASKRUN_FLAG;
      break;
    case RingMode::sqpoll:
      parameters.flags |= IORING_SETUP_SQPOLL;
      parameters.sq_thread_idle = setup.submission_thread_idle_ms;
      if (setup.submission_thread_cpu >= 0) {
        // Otherwise the thread may share the victim's CPU and slow the deaths down.
        parameters.flags |= IORING_SETUP_SQ_AFF;
        parameters.sq_thread_cpu = static_cast<unsigned>(setup.submission_thread_cpu);
      }
      break;
  }
  Ring ring;
  ring.mode_ = setup.mode;
  ring.enters_ = setup.enters;
  // Rings count against RLIMIT_MEMLOCK, summed over a user's processes, and the kernel frees those
  // of an ended process a little later (io_ring_exit_work): a run that follows another one may
  // have to wait for that.
  int failed = 0;
  for (int attempt = 0; attempt < 300; ++attempt) {
    failed = io_uring_queue_init_params(setup.submission_entries, &ring.raw_, &parameters);
    if (failed != -ENOMEM) break;
    sleep_for(10 * kMillisecond_ns);
  }
  if (failed < 0)
    return make_error("io_uring_setup", -failed,
                      fmt::format("--ring {}", kRingModes[static_cast<size_t>(setup.mode)].name));
  ring.open_ = true;
  return ring;
}

Ring::Ring(Ring&& other) noexcept
    : raw_(other.raw_),
      mode_(other.mode_),
      overflows_(other.overflows_),
      failed_(other.failed_),
      refusals_(other.refusals_),
      enters_(other.enters_),
      open_(std::exchange(other.open_, false)) {}

Ring::~Ring() {
  if (open_) io_uring_queue_exit(&raw_);
}

io_uring_sqe* Ring::entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&raw_);
  // SQPOLL's kernel thread empties the queue in its own time: give it some.
  for (int attempt = 0; !sqe && !failed_ && attempt < 1000; ++attempt) {
    submit();
    if (mode_ == RingMode::sqpoll) settle(io_uring_sqring_wait(&raw_));
    sqe = io_uring_get_sqe(&raw_);
  }
  if (!sqe && !failed_) failed_ = EBUSY;
  return sqe;
}

bool Ring::completions_are_held_back() const {
  const unsigned flags = __atomic_load_n(raw_.sq.kflags, __ATOMIC_RELAXED);
  return flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN);
}

// As liburing's sq_ring_needs_enter() and cq_ring_needs_enter(). A submission thread that falls
// asleep just now makes it wrong by one.
bool Ring::submit_enters() {
  if (completions_are_held_back()) return true;
  if (io_uring_sq_ready(&raw_) == 0) return false;
  if (mode_ != RingMode::sqpoll) return true;
  return __atomic_load_n(raw_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP;
}

// EINTR is a signal, ETIME the instant, EAGAIN a want of memory, EBUSY a full completion queue
// (io_uring_enter(2)): they pass, and the caller's loop tries again. Not for ever, though: a call
// that is always refused would spin.
int Ring::settle(int result) {
  constexpr int kMostRefusals = 10'000;
  if (result >= 0 || result == -ETIME) return refusals_ = 0;
  const bool passes = result == -EINTR || result == -EAGAIN || result == -EBUSY;
  if (passes && ++refusals_ < kMostRefusals) {
    if (result == -EAGAIN) sleep_for(kMillisecond_ns / 10);
    return -result;
  }
  if (!failed_) failed_ = -result;
  return failed_;
}

Status Ring::status(std::string doing) const {
  if (!failed_) return std::nullopt;
  return make_error("io_uring_enter", failed_, std::move(doing));
}

int Ring::submit() {
  while (!failed_) {
    if (submit_enters()) count_enter();
    const int submitted = io_uring_submit(&raw_);
    const int refused = settle(submitted);
    if (submitted == -EINTR || submitted == -EAGAIN) continue;
    if (refused) poll();  // EBUSY: the completion queue overflowed and must be drained first
    return refused;
  }
  return failed_;
}

unsigned Ring::flags() {
  const unsigned flags = __atomic_load_n(raw_.sq.kflags, __ATOMIC_ACQUIRE);
  if (flags & IORING_SQ_CQ_OVERFLOW) ++overflows_;
  return flags;
}

int Ring::poll() {
  const auto flagged = [&] { return flags() & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW); };
  constexpr int kMostRounds = 4096;  // bounded: completions may come as fast as they are made
  for (int round = 0; !failed_ && flagged() && round < kMostRounds; ++round) {
    count_enter();
    settle(io_uring_get_events(&raw_));
    // A full queue cannot take the overflow: the caller must reap first.
    if (io_uring_cq_ready(&raw_) >= *raw_.cq.kring_entries / 2) break;
  }
  return failed_;
}

int Ring::wait_until(int64_t instant_ns) {
  if (failed_) return failed_;
  const int64_t left_ns = instant_ns - now_ns();
  if (left_ns <= 0 || io_uring_cq_ready(&raw_) > 0) {
    submit();
    return poll();
  }
  __kernel_timespec timeout{left_ns / kSecond_ns, left_ns % kSecond_ns};
  io_uring_cqe* first = nullptr;
  // One completion is enough: waiting for more would add the time-out to the latency.
  count_enter();
  settle(io_uring_submit_and_wait_timeout(&raw_, &first, 1, &timeout, nullptr));
  flags();
  return failed_;
}

Status Ring::cancel_all() {
  io_uring_sync_cancel_reg request{};
  request.fd = -1;
  request.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
  request.timeout = {5, 0};
  submit();
  const int cancelled = io_uring_register_sync_cancel(&raw_, &request);
  std::array<io_uring_cqe*, 256> batch;
  // A request lets go of its file when its completion is made, in this thread's deferred work.
  do {
    count_enter();
    settle(io_uring_get_events(&raw_));
    const auto reaped = completions(batch);
    seen(static_cast<unsigned>(reaped.size()));
    if (reaped.empty()) break;
  } while (!failed_);
  if (cancelled < 0 && cancelled != -ENOENT)  // there was none
    return make_error("io_uring_register_sync_cancel", -cancelled, "all requests");
  return std::nullopt;
}

std::span<io_uring_cqe*> Ring::completions(std::span<io_uring_cqe*> batch) {
  // An empty queue is filled first.
  if (io_uring_cq_ready(&raw_) == 0 && completions_are_held_back()) count_enter();
  return batch.first(
      io_uring_peek_batch_cqe(&raw_, batch.data(), static_cast<unsigned>(batch.size())));
}

Result<BufferRing> BufferRing::open(Ring& ring, unsigned entries, unsigned buffer_bytes,
                                    int group) {
  BufferRing buffers;
  buffers.entries_ = entries;
  buffers.buffer_bytes_ = buffer_bytes;
  // liburing 2.3 has no io_uring_setup_buf_ring(): page-aligned memory and a registration.
  const size_t ring_bytes = entries * sizeof(io_uring_buf);
  void* memory = mmap(nullptr, ring_bytes + buffer_bytes, PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (memory == MAP_FAILED) return errno_error("mmap", "buffer ring");
  buffers.ring_ = static_cast<io_uring_buf_ring*>(memory);
  buffers.memory_ = static_cast<char*>(memory) + ring_bytes;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(memory);
  registration.ring_entries = entries;
  registration.bgid = static_cast<uint16_t>(group);
  const int failed = io_uring_register_buf_ring(ring.raw(), &registration, 0);
  if (failed < 0) return make_error("io_uring_register_buf_ring", -failed, "");
  io_uring_buf_ring_init(buffers.ring_);
  for (unsigned id = 0; id < entries; ++id) buffers.recycle(id);
  return buffers;
}

BufferRing::BufferRing(BufferRing&& other) noexcept
    : ring_(std::exchange(other.ring_, nullptr)),
      memory_(other.memory_),
      entries_(other.entries_),
      buffer_bytes_(other.buffer_bytes_) {}

BufferRing::~BufferRing() {
  if (ring_) munmap(ring_, entries_ * sizeof(io_uring_buf) + buffer_bytes_);
}

void BufferRing::recycle(unsigned buffer_id) {
  io_uring_buf_ring_add(ring_, memory_, buffer_bytes_, static_cast<uint16_t>(buffer_id),
                        io_uring_buf_ring_mask(entries_), 0);
  io_uring_buf_ring_advance(ring_, 1);
}

bool has_multishot_timeouts() {
  auto ring = Ring::open({.mode = RingMode::plain, .submission_entries = 8});
  if (!ring) return false;
  __kernel_timespec period{0, 1'000'000};
  io_uring_sqe* sqe = ring->entry();
  io_uring_prep_timeout(sqe, &period, 0, kTimeoutMultishot);
  ring->wait_until(now_ns() + kSecond_ns);
  io_uring_cqe* completion = nullptr;
  const auto completions = ring->completions(std::span(&completion, 1));
  const bool has = !completions.empty() && completions.front()->res == -ETIME;
  (void)ring->cancel_all();  // a trial; it goes with its ring
  return has;
}

std::map<std::string, bool> probe_ring_features() {
  std::map<std::string, bool> features;
  for (const RingModeRow& row : kRingModes) {
    RingSetup setup;
    setup.mode = row.id;
    setup.submission_entries = setup.completion_entries = 8;
    features[fmt::format("mode-{}", row.name)] = static_cast<bool>(Ring::open(setup));
  }
  const auto ring = Ring::open({.mode = RingMode::plain, .submission_entries = 8});
  features["io_uring"] = static_cast<bool>(ring);
  if (io_uring_probe* probe = io_uring_get_probe()) {
    features["op-socket"] = io_uring_opcode_supported(probe, IORING_OP_SOCKET);
    features["op-send-zc"] = io_uring_opcode_supported(probe, kOpSendZc);
    features["op-fixed-fd-install"] = io_uring_opcode_supported(probe, kOpFixedFdInstall);
    io_uring_free_probe(probe);
  }
  return features;
}

std::vector<std::string> ring_flag_names(uint32_t flags) {
  constexpr std::pair<uint32_t, const char*> kFlags[] = {
      {IORING_SETUP_IOPOLL, "IOPOLL"},
      {IORING_SETUP_SQPOLL, "SQPOLL"},
      {IORING_SETUP_SQ_AFF, "SQ_AFF"},
      {IORING_SETUP_CQSIZE, "CQSIZE"},
      {IORING_SETUP_CLAMP, "CLAMP"},
      {IORING_SETUP_SUBMIT_ALL, "SUBMIT_ALL"},
      {IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN"},
      {IORING_SETUP_TASKRUN_FLAG, "TASKRUN_FLAG"},
      {IORING_SETUP_SINGLE_ISSUER, "SINGLE_ISSUER"},
      {IORING_SETUP_DEFER_TASKRUN, "DEFER_TASKRUN"},
  };
  std::vector<std::string> names;
  for (const auto& [flag, name] : kFlags) {
    if (flags & flag) names.emplace_back(name);
    flags &= ~flag;
  }
  if (flags != 0) names.push_back(fmt::format("{:#x}", flags));
  return names;
}

std::string liburing_version() {
#ifdef IO_URING_VERSION_MAJOR
  return fmt::format("{}.{}", IO_URING_VERSION_MAJOR, IO_URING_VERSION_MINOR);
#else
  return LASTACK_LIBURING_VERSION;  // 2.3 has no version macro: the build asked pkg-config
#endif
}

}  // namespace lastack
