#include "survivor/writer_survivor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>

#include "base/process.h"
#include "net/byte_account.h"

namespace lastack {
namespace {

constexpr int64_t kTryAgain_ns = kMillisecond_ns;    // after a full send queue
constexpr int64_t kLookAround_ns = kMillisecond_ns;  // how often a busy writer sees its control
constexpr int64_t kSettle_ns = kSecond_ns;           // for requests in flight at the end
// For a linked write that waits for room because nothing can forbid it.
constexpr int64_t kMostWait_ns = 20 * kMillisecond_ns;

// Newer than glibc 2.36; numbers from include/uapi/linux/fs.h.

// By the handler, which runs in the thread that the signal is for. There is no other one here: the
// kernel's worker threads run no handlers.
std::atomic<uint64_t> g_sigpipes{0};
static_assert(std::atomic<uint64_t>::is_always_lock_free, "the signal handler counts with it");

void count_sigpipe(int) { g_sigpipes.fetch_add(1, std::memory_order_relaxed); }

void set_sigpipe_action(SigpipeMode mode) {
  struct sigaction action {};
  action.sa_handler = mode == SigpipeMode::handler  ? count_sigpipe
                      : mode == SigpipeMode::ignore ? SIG_IGN
                                                    : SIG_DFL;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPIPE, &action, nullptr);
  const sigset_t set = only_signal(SIGPIPE);
  sigprocmask(mode == SigpipeMode::signalfd ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

Result<WriterSurvivor> WriterSurvivor::open(const ShardView& shard, int control) {
  WriterSurvivor survivor(shard, control);
  const auto payload = static_cast<size_t>(shard.header->settings.payload_bytes);
  survivor.message_.resize(payload, 'w');
  survivor.scratch_.resize(std::max<size_t>(payload, 4096));
  return survivor;
}

// In the process that writes: requests of a ring belong to the process that opened it.
Status WriterSurvivor::open_paths() {
  const ShardSettings& settings = shard_.header->settings;
  set_sigpipe_action(settings.writing.sigpipe);
  if (settings.writing.sigpipe == SigpipeMode::signalfd) {
    const sigset_t set = only_signal(SIGPIPE);
    signals_ = Fd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_.valid()) return errno_error("signalfd", "SIGPIPE");
  }
  size_t ring_bytes = 0;
  message_vector_ = {message_.data(), message_.size()};
  message_header_.msg_iov = &message_vector_;
  message_header_.msg_iovlen = 1;
  std::set<WritePath> used;
  for (const SurvivorEnd& end : shard_.survivors)
    if (end.flags & kEstablished) used.insert(shard_.row_of(end).write_path);
  for (const WritePath id : used) {
    const WritePathRow& path = write_path_row(id);
    const bool polled = path.need == WriteNeed::submission_thread;
    std::optional<Ring>& ring = polled ? polled_ring_ : ring_;
    if (path.ring && !ring) {
      RingSetup setup;
      setup.mode = polled ? RingMode::sqpoll : settings.ring;
      // Who may die of a write waits for each; its rings are made anew after each death.
      const bool one_by_one = settings.writing.sigpipe == SigpipeMode::kill;
      setup.submission_entries = one_by_one ? 8 : 256;
      // Few are in flight: only kernel workers take their time. What overflows is kept.
      setup.completion_entries = one_by_one ? 16 : 4096;
      setup.submission_thread_cpu = settings.survivor_cpu;
      setup.enters = &shard_.header->progress.survivor_ring_enters;
      setup.submission_thread_idle_ms = 1;  // it shares its CPU with the thread that feeds it
      auto opened = Ring::open(setup);
      if (!opened) return opened.error();
      ring_bytes += opened->shared_bytes();
      shard_.header->progress.survivor_ring_flags = opened->setup_flags();
      shard_.header->progress.survivor_ring_completions = opened->completion_entries();
      ring.emplace(std::move(*opened));
    }
    if (path.id == WritePath::sendfile && !file_.valid()) {
      file_ = Fd(memfd_create("lastack-message", MFD_CLOEXEC));
      const auto size = static_cast<ssize_t>(message_.size());
      if (!file_.valid() || ::write(file_.get(), message_.data(), message_.size()) != size)
        return errno_error("memfd_create", "the message for sendfile");
    }
    if (path.id == WritePath::splice && !pipe_in_.valid()) {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno_error("pipe2", "splice");
      pipe_out_ = Fd(ends[0]);
      pipe_in_ = Fd(ends[1]);
      // Twice, because a pipe counts pages and the message need not start on one.
      const int bytes = std::max(65536, 2 * static_cast<int>(message_.size()));
      if (fcntl(pipe_in_.get(), F_SETPIPE_SZ, bytes) < bytes)
        return errno_error("F_SETPIPE_SZ", "splice (fs.pipe-max-size limits --payload)");
    }
  }
  shard_.header->progress.survivor_ring_bytes = ring_bytes;
  return std::nullopt;
}

Status WriterSurvivor::arm() {
  const ShardSettings& settings = shard_.header->settings;
  const int64_t now = now_ns();
  const auto count = static_cast<int64_t>(shard_.survivors.size());
  for (uint32_t slot = 0; slot < shard_.survivors.size(); ++slot) {
    const SurvivorEnd& end = shard_.survivors[slot];
    WriteRecord& record = shard_.writes[slot];
    record.finished = !(end.flags & kEstablished);
    if (record.finished) continue;
    ++shard_.header->progress.unfinished;
    if (Status failed = set_probe(shard_, end)) return failed;
    // For sendfile, which has no flag for it.
    const int flags = fcntl(end.descriptor, F_GETFL);
    if (fcntl(end.descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
      return errno_error("fcntl", "O_NONBLOCK");
    // Evenly spread over the first gap, so that they do not all write at once.
    record.due_ns = now + (settings.writing.poisson_writes ? gap_ns() : gap_ns() * slot / count);
  }
  if (Status failed = open_paths()) return failed;
  if (settings.writing.sigpipe == SigpipeMode::kill) {
    // The children open their own; what is missing was said here.
    ring_.reset();
    polled_ring_.reset();
    return std::nullopt;
  }
  queue_writes();
  return std::nullopt;
}

int64_t WriterSurvivor::gap_ns() {
  const ShardSettings& settings = shard_.header->settings;
  if (settings.writing.writes_per_second == 0) return 0;
  const double gap = 1e9 / settings.writing.writes_per_second;
  return static_cast<int64_t>(settings.writing.poisson_writes ? gap * random_.exponential() : gap);
}

void WriterSurvivor::queue_writes() {
  due_ = {};
  for (uint32_t slot = 0; slot < shard_.writes.size(); ++slot)
    if (!shard_.writes[slot].finished) due_.push({shard_.writes[slot].due_ns, slot});
}

Ring* WriterSurvivor::ring_of(WritePath path) {
  const WritePathRow& row = write_path_row(path);
  if (!row.ring) return nullptr;
  return row.need == WriteNeed::submission_thread ? &*polled_ring_ : &*ring_;
}

Status WriterSurvivor::run_until_control() {
  if (!stopped_)
    return shard_.header->settings.writing.sigpipe == SigpipeMode::kill ? write_in_children()
                                                                        : write_until_control();
  pollfd control{control_, POLLIN, 0};
  if (poll(&control, 1, -1) < 0 && errno != EINTR) return errno_error("poll", "control");
  return std::nullopt;
}

void WriterSurvivor::write_as_child(pid_t parent, uint64_t deaths) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the line above
  random_.state += deaths;            // not the gaps that the child before it had
  Status failed = open_paths();
  if (!failed) queue_writes();
  if (!failed) failed = write_until_control();
  if (!failed) _exit(0);
  ChildError& error = shard_.header->child_error;
  error = {};
  error.error_number = failed->error_number;
  failed->operation.copy(error.operation, sizeof(error.operation) - 1);
  failed->where.copy(error.where, sizeof(error.where) - 1);
  _exit(1);
}

Status WriterSurvivor::write_in_children() {
  const pid_t parent = getpid();
  const ChildError& error = shard_.header->child_error;
  for (uint64_t deaths = 0;; ++deaths) {
    const pid_t child = fork();
    if (child < 0) return errno_error("fork", "the process that writes");
    if (child == 0) write_as_child(parent, deaths);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
      if (errno != EINTR) return errno_error("waitpid", "the process that writes");
    const bool told_to_stop = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    const bool by_sigpipe = WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE;
    if (told_to_stop) return std::nullopt;
    if (by_sigpipe) {
      settle_kill(shard_.header->progress.writing_slot);
    } else if (WIFEXITED(status) && error.operation[0]) {
      return make_error(error.operation, error.error_number, error.where);
    } else {
      return death_error(fmt::format("the process {} that writes for it", child), status);
    }
  }
}

void WriterSurvivor::settle_kill(uint32_t slot) {
  const int64_t stamp_ns = now_ns();
  SurvivorEnd& end = shard_.survivors[slot];
  WriteRecord& record = shard_.writes[slot];
  // Of linked writes the first one was accepted or not, and nobody reaped that: they are not made
  // in this mode (check_spec).
  end.flags &= static_cast<uint8_t>(~kSendInFlight);
  record.in_flight = 0;
  record.killed = true;
  ++record.sigpipes;
  ++shard_.header->progress.sigpipes;
  note_error(slot, EPIPE, stamp_ns);
  finish(slot);
}

void WriterSurvivor::note_error(uint32_t slot, int error, int64_t stamp_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  WriteRecord& record = shard_.writes[slot];
  ++record.errors;
  if (error == EPIPE) ++record.epipes;
  if (record.errors == 1) {
    record.first_error = static_cast<int16_t>(error);
    record.first_error_ns = stamp_ns;
  } else if (record.errors == 2) {
    record.second_error = static_cast<int16_t>(error);
    record.second_error_ns = stamp_ns;
    finish(slot);
  }
  if (end.evidence.write_error == 0) end.evidence.write_error = static_cast<int16_t>(error);
  conclude(shard_, end, stamp_ns);
}

// It has nothing more to learn.
void WriterSurvivor::finish(uint32_t slot) {
  WriteRecord& record = shard_.writes[slot];
  if (!record.finished) --shard_.header->progress.unfinished;
  record.finished = true;
}

Status WriterSurvivor::write_until_control() {
  const bool spin = shard_.header->settings.spin;
  while (true) {
    write_due();
    std::array<pollfd, 3> waited = {{{control_, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}}};
    if (ring_) waited[1].fd = ring_->raw()->ring_fd;
    if (polled_ring_) waited[2].fd = polled_ring_->raw()->ring_fd;
    const int64_t left_ns = due_.empty() ? kSecond_ns : due_.top().at_ns - now_ns();
    const timespec room = to_timespec(spin ? 0 : std::max<int64_t>(0, left_ns));
    if (ppoll(waited.data(), waited.size(), &room, nullptr) < 0) {
      if (errno != EINTR) return errno_error("ppoll", "writers");
      continue;
    }
    if (ring_) reap(*ring_);
    if (polled_ring_) reap(*polled_ring_);
    if (Status failed = ring_status()) return failed;
    if (waited[0].revents) return std::nullopt;
  }
}

Status WriterSurvivor::ring_status() const {
  for (const auto* ring : {&ring_, &polled_ring_})
    if (*ring && (*ring)->failed()) return (*ring)->status("--watch writer");
  return std::nullopt;
}

void WriterSurvivor::write_due() {
  const int64_t look_around_ns = now_ns() + kLookAround_ns;
  std::atomic<int64_t>& worst_lag_ns = shard_.header->progress.write_lag_ns;
  while (!due_.empty()) {
    const Due due = due_.top();
    const int64_t now = now_ns();
    if (due.at_ns > now || now > look_around_ns) return;
    due_.pop();
    WriteRecord& record = shard_.writes[due.slot];
    if (record.finished) continue;
    if (record.in_flight > 0) {
      record.overdue = true;  // reap() makes up for it
      continue;
    }
    // Open loop: lag and the next instant follow from the one that was due, however late the write.
    if (now - record.due_ns > worst_lag_ns.load(std::memory_order_relaxed))
      worst_lag_ns.store(now - record.due_ns, std::memory_order_relaxed);
    const bool as_fast_as_it_can = shard_.header->settings.writing.writes_per_second == 0;
    record.due_ns = as_fast_as_it_can ? now : record.due_ns + gap_ns();
    const uint32_t full_before = record.would_block;
    write_one(due.slot);
    if (record.finished) continue;
    const bool full = record.would_block > full_before;
    due_.push({full ? std::max(record.due_ns, now + kTryAgain_ns) : record.due_ns, due.slot});
  }
}

bool WriterSurvivor::look_before(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
  switch (shard_.header->settings.writing.before_write) {
    case BeforeWrite::none:
      return true;
    case BeforeWrite::poll: {
      pollfd asked{end.descriptor, POLLRDHUP, 0};
      ::poll(&asked, 1, 0);
      const auto events = static_cast<unsigned>(static_cast<uint16_t>(asked.revents));
      if (!(events & kDeathEvents)) return true;
      const int64_t stamp_ns = now_ns();
      end.evidence.poll_events |= static_cast<uint16_t>(events);
      conclude(shard_, end, stamp_ns);
      finish(slot);
      return false;
    }
    case BeforeWrite::recv:
      if (end.evidence.read_eof || end.evidence.read_error) return true;
      read_until_empty(shard_, end, scratch_);
      if (end.evidence.read_eof || end.evidence.read_error) conclude(shard_, end, now_ns());
      return true;
  }
  return true;
}

// Nobody else writes to this socket: the room that poll(2) sees is still there at the write.
bool WriterSurvivor::has_room(uint32_t slot) const {
  pollfd asked{shard_.survivors[slot].descriptor, POLLOUT, 0};
  return ::poll(&asked, 1, 0) != 0;  // an ended connection, too, takes a write: its error is news
}

void WriterSurvivor::write_one(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
  WriteRecord& record = shard_.writes[slot];
  if (!look_before(slot)) return;
  const PlanRow& row = shard_.row_of(end);
  const WritePathRow& path = write_path_row(row.write_path);
  const auto writes = static_cast<uint32_t>(path.writes_at_once);
  VictimEnd& victim = shard_.victims[record.victim];
  // After the act only: before it nothing can have arrived, and asking costs a call.
  const bool may_have_ended = std::atomic_ref(victim.issued_ns).load(std::memory_order_acquire) &&
                              strategy_of(shard_, end).family != "silent";
  record.fin_seen =
      may_have_ended && looked(shard_, read_tcp_state(end.descriptor)) != kTcpEstablished;
  record.attempted += writes;
  const bool may_wait = path.nowait_flag && !takes_nowait_;
  if (may_wait && !has_room(slot)) {
    ++record.would_block;
    record.cancelled += writes - 1;  // those linked to it
    return;
  }
  shard_.header->progress.writing_slot.store(slot, std::memory_order_relaxed);
  record.begun_ns = now_ns();
  Ring* ring = ring_of(row.write_path);
  if (!ring) {
    const ssize_t result = call(row.write_path, end.descriptor);
    settle(slot, result < 0 ? -errno : static_cast<int>(result));
    const uint32_t raised = blame_sigpipes(slot);
    if (result >= 0) record.sigpipes_of_short += raised;
    return;
  }
  if (!prepare_entries(row.write_path, slot, *ring)) {
    // Nothing was asked of the kernel.
    record.cancelled += writes;
    return;
  }
  ring->submit();
  reap(*ring);
  // All splices share one pipe; a linked write runs when the first one is done, and its signal is
  // its own; and who may die of this write must not die with another's.
  const bool alone = row.write_path == WritePath::splice ||
                     row.write_path == WritePath::write_linked ||
                     shard_.header->settings.writing.sigpipe == SigpipeMode::kill;
  if (alone) await_requests(slot, *ring, may_wait);
  // One write per submission: two signals of one call would be delivered as one.
  blame_sigpipes(slot);
  if (row.write_path != WritePath::splice) return;
  // What a short splice left in the pipe.
  while (::read(pipe_out_.get(), scratch_.data(), scratch_.size()) > 0) {
  }
}

void WriterSurvivor::await_requests(uint32_t slot, Ring& ring, bool may_wait) {
  const WriteRecord& record = shard_.writes[slot];
  const int64_t give_up_ns = now_ns() + (may_wait ? kMostWait_ns : kSettle_ns);
  while (record.in_flight > 0 && !ring.failed() && now_ns() < give_up_ns) {
    ring.wait_until(give_up_ns);
    reap(ring);
  }
  if (!may_wait || record.in_flight == 0) return;
  io_uring_sync_cancel_reg request{};
  request.addr = slot;  // the user_data of its requests
  request.flags = IORING_ASYNC_CANCEL_ALL;
  request.timeout = {1, 0};
  io_uring_register_sync_cancel(ring.raw(), &request);
  reap(ring);
}

ssize_t WriterSurvivor::call(WritePath path, int descriptor) {
  switch (path) {
    case WritePath::send_call:
      return ::send(descriptor, message_.data(), message_.size(), MSG_DONTWAIT);
    case WritePath::send_nosignal:
      return ::send(descriptor, message_.data(), message_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    case WritePath::write_call:
      return ::write(descriptor, message_.data(), message_.size());
    case WritePath::sendfile: {
      off_t offset = 0;
      return ::sendfile(descriptor, file_.get(), &offset, message_.size());
    }
    default:
      errno = ENOSYS;
      return -1;
  }
}

// Nothing here may sleep in the kernel: a full send queue is EAGAIN, as for the calls. O_NONBLOCK
// does not do that for io_uring, which would wait for room by itself (io_rw_init_file). Where
// sockets refuse RWF_NOWAIT, has_room() was asked before.
bool WriterSurvivor::prepare_entries(WritePath path, uint32_t slot, Ring& ring) {
  const int descriptor = shard_.survivors[slot].descriptor;
  const auto bytes = static_cast<unsigned>(message_.size());
  const int count = write_path_row(path).writes_at_once;
  const auto nowait = static_cast<int>(takes_nowait_ ? kNoWait : 0);
  WriteRecord& record = shard_.writes[slot];
  if (io_uring_sq_space_left(ring.raw()) < static_cast<unsigned>(count)) ring.submit();
  if (io_uring_sq_space_left(ring.raw()) < static_cast<unsigned>(count)) return false;
  if (path == WritePath::splice &&
      ::write(pipe_in_.get(), message_.data(), bytes) != static_cast<ssize_t>(bytes))
    return false;
  for (int i = 0; i < count; ++i) {
    io_uring_sqe* sqe = ring.entry();
    switch (path) {
      case WritePath::send:
      case WritePath::send_zc:
        io_uring_prep_send(sqe, descriptor, message_.data(), bytes, MSG_DONTWAIT);
        if (path == WritePath::send_zc) sqe->opcode = kOpSendZc;
        break;
      case WritePath::sendmsg:
        io_uring_prep_sendmsg(sqe, descriptor, &message_header_, MSG_DONTWAIT);
        break;
      case WritePath::writev:
        io_uring_prep_writev(sqe, descriptor, &message_vector_, 1, 0);
        sqe->rw_flags = nowait;
        break;
      case WritePath::splice:
        io_uring_prep_splice(sqe, pipe_out_.get(), -1, descriptor, -1, bytes, SPLICE_F_NONBLOCK);
        break;
      default:  // kinds of IORING_OP_WRITE
        io_uring_prep_write(sqe, descriptor, message_.data(), bytes, 0);
        sqe->rw_flags = nowait;
        if (path == WritePath::write_nosignal) sqe->rw_flags |= kNoSignal;
        if (path == WritePath::write_async) sqe->flags |= IOSQE_ASYNC;
        break;
    }
    if (i + 1 < count) sqe->flags |= IOSQE_IO_LINK;
    io_uring_sqe_set_data64(sqe, slot);
    ++record.in_flight;
  }
  shard_.survivors[slot].flags |= kSendInFlight;
  return true;
}

void WriterSurvivor::reap(Ring& ring) {
  ring.poll();
  std::array<io_uring_cqe*, kEventsPerWait> batch;
  while (true) {
    const auto completions = ring.completions(batch);
    if (completions.empty()) return;
    for (const io_uring_cqe* completion : completions) {
      // SEND_ZC says a second time that the kernel needs the memory no more.
      if (completion->flags & kCompletionIsNotification) continue;
      const auto slot = static_cast<uint32_t>(completion->user_data);
      WriteRecord& record = shard_.writes[slot];
      if (record.in_flight > 0) --record.in_flight;
      settle(slot, completion->res);
      if (record.in_flight > 0) continue;
      shard_.survivors[slot].flags &= static_cast<uint8_t>(~kSendInFlight);
      if (std::exchange(record.overdue, false)) due_.push({record.due_ns, slot});
    }
    ring.seen(static_cast<unsigned>(completions.size()));
  }
}

void WriterSurvivor::settle(uint32_t slot, int result) {
  WriteRecord& record = shard_.writes[slot];
  if (result >= 0) {
    const auto bytes = static_cast<uint64_t>(result);
    const int64_t issued_ns =
        std::atomic_ref(shard_.victims[record.victim].issued_ns).load(std::memory_order_acquire);
    ++record.accepted;
    record.accepted_bytes += bytes;
    if (bytes < message_.size()) ++record.short_writes;
    if (issued_ns != 0 && record.begun_ns >= issued_ns) {
      ++record.accepted_after_act;
      record.accepted_after_act_bytes += bytes;
      SurvivorEnd& end = shard_.survivors[slot];
      const bool first = end.silent_since_ns == 0;
      if (first && shard_.row_of(end).since == Since::written)
        end.silent_since_ns = record.begun_ns;
    }
    if (record.fin_seen) ++record.accepted_after_fin;
    return;
  }
  // Each SEND_ZC that is not acknowledged holds pages against RLIMIT_MEMLOCK
  // (mm_account_pinned_pages): ENOMEM is want of room on this side, no news of the peer.
  const bool zero_copy = shard_.row_of(shard_.survivors[slot]).write_path == WritePath::send_zc;
  if (result == -EAGAIN || (zero_copy && (result == -ENOMEM || result == -ENOBUFS))) {
    ++record.would_block;
    return;
  }
  if (result == -ECANCELED) {
    ++record.cancelled;
    return;
  }
  note_error(slot, -result, now_ns());
}

uint64_t WriterSurvivor::take_sigpipes() {
  uint64_t taken = 0;
  if (signals_.valid()) {
    signalfd_siginfo signal;
    while (::read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal)) ++taken;
  } else {
    taken = g_sigpipes.exchange(0, std::memory_order_relaxed);
  }
  shard_.header->progress.sigpipes += taken;
  return taken;
}

uint32_t WriterSurvivor::blame_sigpipes(uint32_t slot) {
  const auto raised = static_cast<uint32_t>(take_sigpipes());
  shard_.writes[slot].sigpipes += raised;
  return raised;
}

void WriterSurvivor::stop_load() {
  if (std::exchange(stopped_, true)) return;
  const int64_t give_up_ns = now_ns() + kSettle_ns;
  const auto in_flight = [&] {
    return std::any_of(shard_.writes.begin(), shard_.writes.end(),
                       [](const WriteRecord& record) { return record.in_flight > 0; });
  };
  while (in_flight() && !ring_status() && now_ns() < give_up_ns) {
    if (ring_) reap(*ring_);
    if (polled_ring_) reap(*polled_ring_);
  }
  ShardProgress& progress = shard_.header->progress;
  progress.sigpipes_unblamed = take_sigpipes();
  for (const auto* ring : {&ring_, &polled_ring_})
    if (*ring) progress.completion_overflows += (*ring)->overflows();
  const bool counts_syn = shard_.header->settings.survivors_connect;
  for (uint32_t slot = 0; slot < shard_.writes.size(); ++slot) {
    WriteRecord& record = shard_.writes[slot];
    const SurvivorEnd& end = shard_.survivors[slot];
    if (!(end.flags & kEstablished)) continue;
    record.cancelled += std::exchange(record.in_flight, uint8_t{0});
    record.finished = true;
    const auto account = read_byte_account(end.descriptor);
    if (!account) continue;
    record.has_tail = true;
    record.acked_bytes = account->acked - (counts_syn ? 1 : 0);
    record.unacked_bytes = account->unacked;
    record.tail_state = looked(shard_, read_tcp_state(end.descriptor));
  }
}

Status WriterSurvivor::clean_up() {
  stop_load();
  Status failed;
  if (ring_) failed = ring_->cancel_all();
  ring_.reset();
  polled_ring_.reset();
  close_abortively(shard_);
  return failed;
}

}  // namespace lastack
