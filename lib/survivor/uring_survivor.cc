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
#include "model/strategy.h"

namespace lastack {
namespace {

constexpr int kBufferGroup = 1;
constexpr unsigned kBuffers = 4096;
constexpr unsigned kBufferBytes = 4096;
constexpr size_t kBatch = 256;
constexpr int64_t kFarFuture_ns = 3600 * kSecond_ns;
constexpr unsigned kPollEvents = POLLIN | POLLRDHUP;
constexpr unsigned kDeathEvents = POLLRDHUP | POLLHUP | POLLERR;

}  // namespace

// What completed; with the slot, this is user_data. No slot is used twice in a run.
enum class UringSurvivor::Kind : uint32_t { receive, poll, write, fin_arrived, control };

uint64_t UringSurvivor::tag(Kind kind, uint32_t slot) {
  return uint64_t{static_cast<uint32_t>(kind)} << 32 | slot;
}

Result<UringSurvivor> UringSurvivor::open(const ShardView& shard, int control) {
  const ShardSettings& settings = shard.header->settings;
  RingSetup setup;
  setup.mode = settings.ring;
  // A storm completes the watch and, under load, the write of every connection at once.
  const unsigned requests = settings.load == Load::idle ? 1 : 2;
  setup.completion_entries = std::max(settings.connections * requests + 64, 512u);
  setup.submission_thread_cpu = settings.survivor_cpu;
  auto ring = Ring::open(setup);
  if (!ring) return ring.error();
  shard.header->progress.survivor_ring_bytes = ring->shared_bytes();
  UringSurvivor survivor(shard, std::move(*ring));
  survivor.control_ = control;
  survivor.scratch_.resize(std::max<size_t>(static_cast<size_t>(settings.payload_bytes), 4096));
  const auto rows = std::span(shard.header->rows, settings.row_count);
  const bool needs_buffers = std::any_of(rows.begin(), rows.end(), [](const PlanRow& row) {
    return row.watch == Watch::recv_multishot;
  });
  if (needs_buffers) {
    auto buffers = BufferRing::open(*survivor.ring_, kBuffers, kBufferBytes, kBufferGroup);
    if (!buffers) return buffers.error();
    survivor.buffers_.emplace(std::move(*buffers));
  }
  if (!survivor.arm_control()) return plain_error("io_uring takes no entries");
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

Status UringSurvivor::prepare() {
  for (SurvivorEnd& end : shard_.survivors) {
    if (!(end.flags & kEstablished)) continue;
    const PlanRow& row = shard_.row_of(end);
    if (!strategies()[row.strategy].survivor_sends_unread) continue;
    const char byte = 'u';
    if (send(end.descriptor, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
      return errno_error("send", "the byte that stays unread");
  }
  return std::nullopt;
}

Status UringSurvivor::arm() {
  const ShardSettings& settings = shard_.header->settings;
  const ProbeSettings& probe = settings.probe_settings;
  for (uint32_t slot = 0; slot < shard_.survivors.size(); ++slot) {
    SurvivorEnd& end = shard_.survivors[slot];
    if (!(end.flags & kEstablished)) continue;
    const PlanRow& row = shard_.row_of(end);
    Status failed;
    const auto set = [&](Option option, int64_t value) {
      if (!failed) failed = set_option(end.descriptor, option, static_cast<int>(value));
    };
    if (row.probe == Probe::keepalive) {
      set(Option::keepalive_idle_s, probe.keepalive_idle_ns / kSecond_ns);
      set(Option::keepalive_interval_s, probe.keepalive_interval_ns / kSecond_ns);
      set(Option::keepalive_count, probe.keepalive_count);
      set(Option::keepalive, 1);
    }
    if (row.probe == Probe::user_timeout)
      set(Option::user_timeout_ms, probe.user_timeout_ns / kMillisecond_ns);
    if (failed) return failed;
    if (strategies()[row.strategy].survivor_writes_first) continue;
    if (!arm_watch(slot)) return plain_error("io_uring takes no entries");
  }
  if (const int failed = ring_->submit()) return make_error("io_uring_enter", failed, "arm");
  load_runs_ = settings.load == Load::echo;
  next_request_ns_ = now_ns();
  return std::nullopt;
}

bool UringSurvivor::arm_watch(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
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
      io_uring_prep_poll_add(sqe, end.descriptor, kPollEvents);
      break;
    case Watch::poll_multishot:
      io_uring_prep_poll_multishot(sqe, end.descriptor, kPollEvents);
      break;
  }
  const bool reads = watch_row(shard_.row_of(end).watch).reads;
  io_uring_sqe_set_data64(sqe, tag(reads ? Kind::receive : Kind::poll, slot));
  end.flags |= kReceiveArmed;
  return true;
}

void UringSurvivor::write_when_fin_arrives(std::span<const uint32_t> slots) {
  for (const uint32_t slot : slots) {
    if (slot >= shard_.survivors.size()) continue;
    // The victim's close() has returned, but its FIN may still be on its way. A write that crosses
    // it would draw another RST for the FIN's ACK, or none that is in the window.
    if (!arm_poll(slot, POLLRDHUP, Kind::fin_arrived)) return;
  }
  ring_->submit();
}

void UringSurvivor::write_then_watch(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
  const char byte = 'w';
  end.written_ns = now_ns();
  if (send(end.descriptor, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
    end.evidence.write_error = static_cast<int16_t>(errno);
  arm_watch(slot);
}

void UringSurvivor::run_until_control() {
  const bool spin = shard_.header->settings.spin;
  std::array<io_uring_cqe*, kBatch> batch;
  while (true) {
    if (control_ready_) {
      control_ready_ = false;
      arm_control();
      return;
    }
    int64_t wake_ns = 0;
    if (load_runs_) {
      send_due_requests(now_ns());
      wake_ns = next_request_ns_;
    }
    if (spin) {
      if (io_uring_sq_ready(ring_->raw()) > 0) ring_->submit();
      ring_->poll();
    } else {
      ring_->wait_until(load_runs_ ? wake_ns : now_ns() + kFarFuture_ns);
    }
    const auto completions = ring_->completions(batch);
    if (completions.empty()) continue;
    const int64_t stamp_ns = now_ns();  // one stamp per batch: no completion is younger
    for (const io_uring_cqe* completion : completions) handle(*completion, stamp_ns);
    ring_->seen(static_cast<unsigned>(completions.size()));
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
    count_received(end, static_cast<uint32_t>(completion.res));
    if (!armed_still) arm_watch(slot);
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
  conclude(end, stamp_ns);
}

void UringSurvivor::handle_poll(uint32_t slot, const io_uring_cqe& completion, int64_t stamp_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  const bool armed_still = completion.flags & IORING_CQE_F_MORE;
  if (!armed_still) end.flags &= ~kReceiveArmed;
  if (end.flags & kConcluded) return;  // a multishot poll stays armed after the end
  if (completion.res < 0) {
    end.evidence.read_error = static_cast<int16_t>(-completion.res);
    conclude(end, stamp_ns);
    return;
  }
  const auto events = static_cast<unsigned>(completion.res);
  end.evidence.poll_events |= static_cast<uint16_t>(events);
  read_until_empty(end);
  if (events & kDeathEvents) {
    conclude(end, stamp_ns);
  } else if (end.evidence.read_eof || end.evidence.read_error) {
    // The poll spoke of data only; the end was learned by the read just now.
    conclude(end, now_ns());
  } else if (!armed_still) {
    arm_watch(slot);
  }
}

void UringSurvivor::read_until_empty(SurvivorEnd& end) {
  while (true) {
    const ssize_t got = recv(end.descriptor, scratch_.data(), scratch_.size(), MSG_DONTWAIT);
    if (got > 0) {
      count_received(end, static_cast<uint32_t>(got));
      continue;
    }
    if (got == 0) end.evidence.read_eof = true;
    if (got < 0 && errno != EAGAIN && end.evidence.read_error == 0)
      end.evidence.read_error = static_cast<int16_t>(errno);
    return;
  }
}

void UringSurvivor::handle_write(uint32_t slot, int result, int64_t stamp_ns) {
  SurvivorEnd& end = shard_.survivors[slot];
  end.flags &= ~kSendInFlight;
  if (result < 0 && end.evidence.write_error == 0)
    end.evidence.write_error = static_cast<int16_t>(-result);
  if (result < 0)
    conclude(end, stamp_ns);
  else if (end.flags & kHeld)
    conclude(end, end.found_ns);
}

void UringSurvivor::count_received(SurvivorEnd& end, uint32_t bytes) {
  end.bytes_received += bytes;
  if (end.response_left == 0) return;
  end.response_left -= std::min(end.response_left, bytes);
  if (end.response_left == 0) ++shard_.header->progress.round_trips;
}

void UringSurvivor::conclude(SurvivorEnd& end, int64_t stamp_ns) {
  if (end.flags & kConcluded) return;
  Evidence& evidence = end.evidence;
  const bool named = evidence.read_error != 0 && evidence.read_error != EPIPE;
  if (!named) {
    // A read of 0, an EPIPE or poll bits alone do not tell a FIN from an RST: ask what lasts.
    evidence.tcp_state = read_tcp_state(end.descriptor);
    if (evidence.tcp_state != kTcpCloseWait && evidence.socket_error == 0)
      evidence.socket_error = static_cast<int16_t>(take_socket_error(end.descriptor));
  }
  const Classified classified = classify(evidence);
  const bool errno_went_elsewhere =
      classified.finding == Finding::econnreset && classified.error_number == 0;
  if (errno_went_elsewhere && (end.flags & kSendInFlight)) {
    // The write in flight holds the errno: its completion decides, this instant stays.
    if (!(end.flags & kHeld)) end.found_ns = stamp_ns;
    end.flags |= kHeld;
    return;
  }
  if (classified.finding == Finding::eof &&
      strategies()[shard_.row_of(end).strategy].survivor_writes_first) {
    // The survivor has written: the answer to that is still to come, and only POLLHUP tells it.
    arm_poll(static_cast<uint32_t>(&end - shard_.survivors.data()), 0, Kind::poll);
    return;
  }
  if (!(end.flags & kHeld)) end.found_ns = stamp_ns;
  end.finding = classified.finding;
  end.error_number = static_cast<int16_t>(classified.error_number);
  end.flags |= kConcluded;
  shard_.header->progress.found.fetch_add(1, std::memory_order_relaxed);
}

void UringSurvivor::send_due_requests(int64_t now) {
  const ShardSettings& settings = shard_.header->settings;
  const auto gap_ns = static_cast<int64_t>(1e9 / settings.round_trips_per_second);
  const auto count = static_cast<uint32_t>(shard_.survivors.size());
  while (next_request_ns_ <= now) {
    next_request_ns_ += std::max<int64_t>(gap_ns, 1);
    // One request in flight per connection; busy and finished ones are passed over.
    uint32_t tried = 0;
    for (; tried < count; ++tried) {
      const uint32_t slot = next_slot_++ % count;
      SurvivorEnd& end = shard_.survivors[slot];
      const Strategy& strategy = strategies()[shard_.row_of(end).strategy];
      const bool reserved = strategy.survivor_sends_unread || strategy.survivor_writes_first;
      const bool busy = end.response_left > 0 || (end.flags & kSendInFlight);
      if (!(end.flags & kEstablished) || (end.flags & (kConcluded | kHeld)) || reserved || busy)
        continue;
      io_uring_sqe* sqe = ring_->entry();
      if (!sqe) return;
      const auto bytes = static_cast<uint32_t>(settings.payload_bytes);
      io_uring_prep_send(sqe, end.descriptor, scratch_.data(), bytes, MSG_NOSIGNAL);
      io_uring_sqe_set_data64(sqe, tag(Kind::write, slot));
      end.flags |= kSendInFlight;
      end.response_left = bytes;
      break;
    }
    // Nobody is free: look again soon instead of scanning the table for every missed instant.
    if (tried == count) next_request_ns_ = now + kMillisecond_ns;
  }
}

void UringSurvivor::clean_up() {
  // Requests in flight keep sockets open after their close().
  if (ring_) ring_->cancel_all();
  ring_.reset();
  for (SurvivorEnd& end : shard_.survivors) {
    if (end.descriptor < 0) continue;
    set_option(end.descriptor, Option::linger, 0);
    close(end.descriptor);
    end.descriptor = -1;
  }
}

}  // namespace lastack
