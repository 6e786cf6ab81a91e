// io_uring: the one file that includes liburing. Set-up with the reason for each flag, waiting,
// and what liburing 2.3 lacks.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack {

// Newer than liburing 2.3; numbers from include/uapi/linux/io_uring.h.
// Flags of pwritev2(2), newer than the headers.
constexpr uint32_t kNoWait = 0x8;      // RWF_NOWAIT
constexpr uint32_t kNoSignal = 0x100;  // RWF_NOSIGNAL
constexpr uint8_t kOpSendZc = 47, kOpFixedFdInstall = 54;
constexpr uint32_t kCompletionIsNotification = 1u << 3;  // IORING_CQE_F_NOTIF

// How completions reach the thread; --ring.
enum class RingMode : uint8_t { plain, coop, defer, sqpoll };

struct RingModeRow {
  RingMode id;
  std::string_view name;
  std::string_view help;
};
std::span<const RingModeRow> ring_modes();

struct RingSetup {
  RingMode mode = RingMode::defer;
  unsigned submission_entries = 256;
  unsigned completion_entries = 4096;  // the kernel rounds up to a power of two, at most 65,536
  int submission_thread_cpu = -1;      // sqpoll only: where its kernel thread runs
  unsigned submission_thread_idle_ms = 1000;  // ... and how long it spins before it sleeps
  // Where this ring's calls of io_uring_enter(2) are counted, if anywhere; it outlives the ring.
  std::atomic<uint64_t>* enters = nullptr;
};

constexpr int64_t kMostCompletions = 65536;  // IORING_MAX_CQ_ENTRIES
// What the kernel locks for a ring, as io_allocate_scq_urings() sizes it: whole pages of the queues
// and of the entries.
int64_t ring_bytes(int64_t submissions, int64_t completions, int64_t page_bytes);
// Whether rings count as locked memory depends on the kernel (those from 5.12 to 6.13 do not count
// them, later ones do: io_create_region() in io_uring/memmap.c) and on CAP_IPC_LOCK in the first
// user namespace. With no locked memory allowed, a ring tells; nullopt: there are none.
std::optional<bool> rings_are_locked();

class Ring {
 public:
  static Result<Ring> open(const RingSetup& setup);
  Ring(Ring&& other) noexcept;
  Ring& operator=(Ring&&) = delete;
  ~Ring();

  // A submission entry, zeroed by the prep call; submits first when the queue is full. Null only
  // when the kernel refuses to take entries: status() has the errno.
  io_uring_sqe* entry();
  // Hands prepared entries to the kernel. Returns 0 or an errno: EBUSY, when completions must be
  // reaped first and the next call hands the rest over; any other one is failed()'s, too.
  int submit();
  // Moves completions to where completions() sees them, without sleeping. One call runs about 20
  // pieces of deferred work (IO_LOCAL_TW_DEFAULT_MAX), so it repeats while more is flagged.
  int poll();
  // Submits, then sleeps until a completion is there, the instant passes, or a signal comes.
  int wait_until(int64_t instant_ns);
  // The first errno with which the kernel refused one of these calls for good, or 0: a filter may
  // deny io_uring_enter(2) and not io_uring_setup(2). Whoever waits in a loop looks at it in every
  // turn, for the ring will wake nobody any more.
  int failed() const { return failed_; }
  // The same as an Error, with what the caller was about.
  Status status(std::string doing) const;
  // Cancels every request in flight and drops the completions: afterwards no request holds a
  // file open.
  Status cancel_all();
  // The completions that are ready, at most `limit`; valid until seen() releases them.
  std::span<io_uring_cqe*> completions(std::span<io_uring_cqe*> batch);
  void seen(unsigned count) { io_uring_cq_advance(&raw_, count); }

  // How often completions were found waiting outside of a full completion queue. The kernel keeps
  // them (IORING_FEAT_NODROP), and its own counter stays at 0, but getting them costs time.
  uint64_t overflows() const { return overflows_; }
  // Memory of the rings that is shared with the kernel.
  size_t shared_bytes() const {
    return raw_.sq.ring_sz + raw_.sq.ring_entries * sizeof(io_uring_sqe);
  }
  // In effect: IORING_SETUP_*, and the completion queue's entries, which CLAMP may have made fewer.
  uint32_t setup_flags() const { return raw_.flags; }
  uint32_t completion_entries() const { return *raw_.cq.kring_entries; }
  io_uring* raw() { return &raw_; }

 private:
  Ring() = default;
  // The flags of the submission queue; notes an overflow.
  unsigned flags();
  // Judges what a call returned: 0, or the errno that stays.
  int settle(int result);
  void count_enter() {
    if (enters_) enters_->fetch_add(1, std::memory_order_relaxed);
  }
  // Whether liburing is about to enter the kernel: to hand over entries, or for completions that
  // the kernel holds back. It decides by itself, and does not tell.
  bool submit_enters();
  bool completions_are_held_back() const;
  io_uring raw_{};
  RingMode mode_ = RingMode::defer;
  uint64_t overflows_ = 0;
  int failed_ = 0;
  int refusals_ = 0;  // one after the other that may pass
  std::atomic<uint64_t>* enters_ = nullptr;
  bool open_ = false;
};

// A ring of provided buffers (IORING_REGISTER_PBUF_RING, Linux 5.19). All of its entries point
// at one piece of memory: what the peer sent is counted, never looked at.
class BufferRing {
 public:
  static Result<BufferRing> open(Ring& ring, unsigned entries, unsigned buffer_bytes, int group);
  BufferRing(BufferRing&& other) noexcept;
  BufferRing& operator=(BufferRing&&) = delete;
  ~BufferRing();
  // Gives a used buffer back.
  void recycle(unsigned buffer_id);

 private:
  BufferRing() = default;
  io_uring_buf_ring* ring_ = nullptr;
  char* memory_ = nullptr;
  unsigned entries_ = 0;
  unsigned buffer_bytes_ = 0;
};

// Newer than liburing 2.3, too (Linux 6.4).
constexpr unsigned kTimeoutMultishot = 1u << 6;
// Whether this kernel takes a timeout request with it: tried, not guessed.
bool has_multishot_timeouts();

// What the running kernel's io_uring can do, by feature name; for the manifest and the doctor.
std::map<std::string, bool> probe_ring_features();
std::string liburing_version();
// "CQSIZE", "DEFER_TASKRUN", ...: the flags of io_uring_setup(2) that are set.
std::vector<std::string> ring_flag_names(uint32_t flags);

}  // namespace lastack
