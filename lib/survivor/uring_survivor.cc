#include "survivor/uring_survivor.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include "base/clock.h"
#include "shard/limits.h"
#include "survivor/common.h"

namespace lastack {
namespace {

constexpr int kBufferGroup = 1;
constexpr unsigned kBufferBytes = 4096;
constexpr int64_t kFarFuture_ns = 3600 * kSecond_ns;

}  // namespace

// What completed; with the slot, this is user_data. No slot is used twice in a run.
enum class UringSurvivor::Kind : uint32_t {
  receive,
  poll,
  write,
  fin_arrived,
  link_timeout,     // of a receive; its own completion says nothing new
  first_heartbeat,  // then the multishot timeout is armed
  heartbeat_timer,
  ignored,
  control
};

uint64_t UringSurvivor::tag(Kind kind, uint32_t slot) {
  return uint64_t{static_cast<uint32_t>(kind)} << 32 | slot;
}

Result<UringSurvivor> UringSurvivor::open(const ShardView& shard, int control) {
  const ShardSettings& settings = shard.header->settings;
  RingSetup setup;
  setup.mode = settings.ring;
  // A storm completes the watch and, under load, the write of every connection at once.
  // Heartbeats come one after the other; what an aligned burst of them overflows, the kernel keeps.
  const unsigned requests = has_traffic(settings) ? 2 : 1;
  setup.completion_entries =
      ring_completions(settings.connections, requests, settings.most_completions);
  setup.submission_thread_cpu = settings.survivor_cpu;
  setup.enters = &shard.header->progress.survivor_ring_enters;
  auto ring = Ring::open(setup);
  if (!ring) return ring.error();
  ShardProgress& progress = shard.header->progress;
  progress.survivor_ring_bytes = ring->shared_bytes();
  progress.survivor_ring_flags = ring->setup_flags();
  progress.survivor_ring_completions = ring->completion_entries();
  UringSurvivor survivor(shard, std::move(*ring));
  survivor.control_ = control;
  survivor.scratch_.resize(std::max<size_t>(static_cast<size_t>(settings.payload_bytes), 4096));
  const auto rows = std::span(shard.header->rows, settings.row_count);
  const bool needs_buffers = std::any_of(rows.begin(), rows.end(), [](const PlanRow& row) {
    return row.watch == Watch::recv_multishot;
  });
  if (needs_buffers) {
    auto buffers = BufferRing::open(*survivor.ring_, kReceiveBuffers, kBufferBytes, kBufferGroup);
    if (!buffers) return buffers.error();
    survivor.buffers_.emplace(std::move(*buffers));
  }
  if (!survivor.arm_control()) return *survivor.ring_->status("watch the control socket");
  return survivor;
}

bool UringSurvivor::arm_control() {
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  io_uring_prep_poll_add(sqe, control_, POLLIN);
  io_uring_sqe_set_data64(sqe, tag(Kind::control, 0));
  return true;
}

bool UringSurvivor::arm_poll(uint32_t slot, unsigned events, Kind kind) {
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  io_uring_prep_poll_add(sqe, shard_.survivors[slot].descriptor, events);
  io_uring_sqe_set_data64(sqe, tag(kind, slot));
  return true;
}

Status UringSurvivor::arm() {
  const auto arm = [&](uint32_t slot) -> Status {
    if (!arm_watch(slot)) return ring_->status("arm a watch");
    return std::nullopt;
  };
  heartbeats_.start();
  if (Status failed = arm_survivors(shard_, arm)) return failed;
  if (Status failed = arm_heartbeats()) return failed;
  ring_->submit();  // what it does not take now, the first wait hands over
  heartbeats_.start();
  requests_.start();
  return ring_->status("arm");
}

// Heartbeats that a link times, and everything else that is timed by requests or by the wheel.
Status UringSurvivor::arm_heartbeats() {
  const ShardSettings& settings = shard_.header->settings;
  const ProbeSettings& probe = settings.probe_settings;
  const int64_t now = now_ns();
  const int64_t span_ns = std::max(probe.heartbeat_interval_ns, probe.heartbeat_deadline_ns);
  if (heartbeats_.any(Heartbeat::wheel)) wheel_.emplace(heartbeat_tick_ns(probe), span_ns, now);
  for (uint32_t slot = 0; slot < shard_.survivors.size(); ++slot) {
    const int64_t after_ns = heartbeats_.first_after_ns(slot);
    if (heartbeats_.uses(slot, Heartbeat::wheel)) wheel_->set(slot, now + after_ns);
    if (heartbeats_.uses(slot, Heartbeat::multishot) &&
        !arm_timeout(slot, after_ns, 0, Kind::first_heartbeat))
      return ring_->status("arm a heartbeat");
  }
  beating_ = true;
  return std::nullopt;
}

__kernel_timespec* UringSurvivor::timeout_of(uint32_t slot, int64_t after_ns) {
  timeouts_.resize(shard_.survivors.size());
  timeouts_[slot] = {after_ns / kSecond_ns, after_ns % kSecond_ns};
  return &timeouts_[slot];
}

bool UringSurvivor::arm_timeout(uint32_t slot, int64_t after_ns, unsigned flags, Kind kind) {
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  io_uring_prep_timeout(sqe, timeout_of(slot, after_ns), 0, flags);
  io_uring_sqe_set_data64(sqe, tag(kind, slot));
  return true;
}

// A receive that ends with the data, or when it is time to look at the heartbeats.
bool UringSurvivor::arm_receive_until(uint32_t slot, int64_t look_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  if (io_uring_sq_space_left(ring_->raw()) < 2) ring_->submit();  // a chain is submitted as a whole
  io_uring_sqe* receive = ring_->entry();
  io_uring_sqe* timeout = receive ? ring_->entry() : nullptr;
  if (!timeout) return false;
  io_uring_prep_recv(receive, end.descriptor, scratch_.data(), scratch_.size(), 0);
  receive->flags |= IOSQE_IO_LINK;
  io_uring_sqe_set_data64(receive, tag(Kind::receive, slot));
  const int64_t after_ns = std::max<int64_t>(1, look_ns - now_ns());
  io_uring_prep_link_timeout(timeout, timeout_of(slot, after_ns), 0);
  io_uring_sqe_set_data64(timeout, tag(Kind::link_timeout, slot));
  end.flags |= kReceiveArmed;
  return true;
}

bool UringSurvivor::serve_heartbeat(uint32_t slot, int64_t now) {
  switch (heartbeats_.look(slot, now)) {
    case Heartbeats::Due::ended:
      return false;
    case Heartbeats::Due::death:
      declare_dead(shard_, shard_.survivors[slot], now);
      return false;
    case Heartbeats::Due::heartbeat:
      // A send in flight is one already.
      if (!(shard_.survivors[slot].flags & kSendInFlight)) {
        note_sent(shard_, shard_.survivors[slot]);
        send_bytes(slot, 1);
      }
      return true;
    case Heartbeats::Due::nothing:
      return true;
  }
  return true;
}

void UringSurvivor::turn_wheel() {
  const int64_t now = now_ns();
  wheel_->turn(now, [&](uint32_t slot) {
    if (serve_heartbeat(slot, now)) wheel_->set(slot, heartbeats_.next_look_ns(slot, now));
  });
}

void UringSurvivor::handle_heartbeat_timer(uint32_t slot, bool armed_still) {
  const bool needed = serve_heartbeat(slot, now_ns());
  if (needed && !armed_still)
    arm_timeout(slot, shard_.header->settings.probe_settings.heartbeat_interval_ns,
                kTimeoutMultishot, Kind::heartbeat_timer);
  if (needed || !armed_still) return;
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return;
  io_uring_prep_timeout_remove(sqe, tag(Kind::heartbeat_timer, slot), 0);
  io_uring_sqe_set_data64(sqe, tag(Kind::ignored, slot));
}

bool UringSurvivor::arm_watch(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
  if (heartbeats_.uses(slot, Heartbeat::link)) {
    const int64_t now = now_ns();
    return arm_receive_until(slot, beating_ ? heartbeats_.next_look_ns(slot, now)
                                            : now + heartbeats_.first_after_ns(slot));
  }
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  switch (shard_.row_of(end).watch) {
    case Watch::recv:
      io_uring_prep_recv(sqe, end.descriptor, scratch_.data(), scratch_.size(), 0);
      break;
    case Watch::recv_multishot:
      io_uring_prep_recv_multishot(sqe, end.descriptor, nullptr, 0, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = kBufferGroup;
      break;
    case Watch::poll:
      io_uring_prep_poll_add(sqe, end.descriptor, kWatchedEvents);
      break;
    case Watch::poll_multishot:
      io_uring_prep_poll_multishot(sqe, end.descriptor, kWatchedEvents);
      break;
    default:
      io_uring_prep_nop(sqe);
      return false;  // a watch of another engine
  }
  const bool reads = watch_row(shard_.row_of(end).watch).reads;
  io_uring_sqe_set_data64(sqe, tag(reads ? Kind::receive : Kind::poll, slot));
  end.flags |= kReceiveArmed;
  return true;
}

void UringSurvivor::hear_of_acts(std::span<const uint32_t> slots) {
  tell_survivors(
      shard_, slots, [&](uint32_t slot) { arm_poll(slot, POLLRDHUP, Kind::fin_arrived); },
      [&](uint32_t slot) { arm_watch(slot); });
  ring_->submit();
}

void UringSurvivor::write_then_watch(uint32_t slot) {
  write_first(shard_.survivors[slot]);
  arm_watch(slot);
}

Status UringSurvivor::run_until_control() {
  const bool spin = shard_.header->settings.spin;
  std::array<io_uring_cqe*, kEventsPerWait> batch;
  while (true) {
    if (control_ready_) {
      control_ready_ = false;
      arm_control();
      return ring_->status("--watch of io_uring");
    }
    requests_.send_due([&](uint32_t slot) { return send_request_of(slot); });
    if (spin) {
      if (io_uring_sq_ready(ring_->raw()) > 0) ring_->submit();
      ring_->poll();
    } else {
      const int64_t turn_ns = wheel_ ? wheel_->next_ns() : kNever_ns;
      ring_->wait_until(std::min({requests_.next_ns(), turn_ns, now_ns() + kFarFuture_ns}));
    }
    if (ring_->failed()) return ring_->status("--watch of io_uring");
    const auto completions = ring_->completions(batch);
    // One stamp per batch: no completion is younger.
    const int64_t stamp_ns = completions.empty() ? now_ns() : reap_stamp(shard_);
    for (const io_uring_cqe* completion : completions) handle(*completion, stamp_ns);
    ring_->seen(static_cast<unsigned>(completions.size()));
    // A heartbeat's answer that waits among the completions counts: all of them come first.
    // Unless they never end.
    constexpr int64_t kLatestTurn_ns = 100 * kMillisecond_ns;
    if (wheel_ &&
        (completions.size() < batch.size() || stamp_ns > wheel_->next_ns() + kLatestTurn_ns))
      turn_wheel();
    if (completions.empty()) continue;
    if (const uint64_t overflows = ring_->overflows())
      shard_.header->progress.completion_overflows = overflows;
  }
}

void UringSurvivor::handle(const io_uring_cqe& completion, int64_t stamp_ns) {
  const auto slot = static_cast<uint32_t>(completion.user_data);
  switch (static_cast<Kind>(completion.user_data >> 32)) {
    case Kind::receive:
      handle_receive(slot, completion, stamp_ns);
      break;
    case Kind::poll:
      handle_poll(slot, completion, stamp_ns);
      break;
    case Kind::write:
      handle_write(slot, completion.res, stamp_ns);
      break;
    case Kind::fin_arrived:
      write_then_watch(slot);
      break;
    case Kind::first_heartbeat:
    case Kind::heartbeat_timer:
      if (completion.res == -ETIME)
        handle_heartbeat_timer(slot, completion.flags & IORING_CQE_F_MORE);
      break;
    case Kind::link_timeout:
    case Kind::ignored:
      break;
    case Kind::control:
      control_ready_ = true;
      break;
  }
}

void UringSurvivor::handle_receive(uint32_t slot, const io_uring_cqe& completion,
                                   int64_t stamp_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  const bool armed_still = completion.flags & IORING_CQE_F_MORE;
  if (!armed_still) end.flags &= ~kReceiveArmed;
  if (completion.flags & IORING_CQE_F_BUFFER)
    buffers_->recycle(completion.flags >> IORING_CQE_BUFFER_SHIFT);
  if (completion.res > 0) {
    count_received(shard_, end, static_cast<uint32_t>(completion.res));
    if (!armed_still) arm_watch(slot);
    return;
  }
  if (completion.res == -ECANCELED && heartbeats_.uses(slot, Heartbeat::link)) {
    if (serve_heartbeat(slot, stamp_ns)) arm_watch(slot);
    return;
  }
  // An empty buffer ring ends a multishot receive and hides what came behind it: ask again.
  if (completion.res == -ENOBUFS || completion.res == -EINTR) {
    if (!armed_still) arm_watch(slot);
    return;
  }
  if (completion.res == 0)
    end.evidence.read_eof = true;
  else if (end.evidence.read_error == 0)
    end.evidence.read_error = static_cast<int16_t>(-completion.res);
  conclude_or_wait(slot, stamp_ns);
}

void UringSurvivor::handle_poll(uint32_t slot, const io_uring_cqe& completion, int64_t stamp_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  const bool armed_still = completion.flags & IORING_CQE_F_MORE;
  if (!armed_still) end.flags &= ~kReceiveArmed;
  if (end.flags & kConcluded) return;  // a multishot poll stays armed after the end
  if (completion.res < 0) {
    end.evidence.read_error = static_cast<int16_t>(-completion.res);
    conclude_or_wait(slot, stamp_ns);
    return;
  }
  const Conclusion verdict =
      look(shard_, end, static_cast<unsigned>(completion.res), stamp_ns, scratch_);
  if (verdict == Conclusion::hang_up) arm_poll(slot, 0, Kind::poll);
  if (verdict == Conclusion::goes_on && !armed_still) arm_watch(slot);
}

void UringSurvivor::handle_write(uint32_t slot, int result, int64_t stamp_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  end.flags &= ~kSendInFlight;
  if (result < 0 && end.evidence.write_error == 0)
    end.evidence.write_error = static_cast<int16_t>(-result);
  if (result < 0)
    conclude_or_wait(slot, stamp_ns);
  else if (end.flags & kHeld)
    conclude_or_wait(slot, end.found_ns);
}

void UringSurvivor::conclude_or_wait(uint32_t slot, int64_t stamp_ns) {
  if (conclude(shard_, shard_.survivors[slot], stamp_ns) == Conclusion::hang_up)
    arm_poll(slot, 0, Kind::poll);
}

bool UringSurvivor::send_request_of(uint32_t slot) {
  return send_bytes(slot, static_cast<size_t>(shard_.header->settings.payload_bytes));
}

bool UringSurvivor::send_bytes(uint32_t slot, size_t bytes) {
  SurvivorEnd& end = shard_.survivors[slot];
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  io_uring_prep_send(sqe, end.descriptor, scratch_.data(), bytes, MSG_NOSIGNAL);
  io_uring_sqe_set_data64(sqe, tag(Kind::write, slot));
  end.flags |= kSendInFlight;
  return true;
}

Status UringSurvivor::clean_up() {
  // Requests in flight keep sockets open after their close().
  Status failed;
  if (ring_) failed = ring_->cancel_all();
  ring_.reset();
  heartbeats_.clean_up();
  close_abortively(shard_);
  return failed;
}

}  // namespace lastack
