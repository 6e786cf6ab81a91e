#include "victim/ring_victim.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <unordered_set>

#include "base/assert.h"
#include "base/clock.h"
#include "net/byte_account.h"

namespace lastack {
namespace {

enum class Kind : uint32_t { receive, send, act, cancel, control };
uint64_t tag(Kind kind, uint32_t slot) {
  return uint64_t{static_cast<uint32_t>(kind)} << 32 | slot;
}

constexpr size_t kBatch = 64;
constexpr size_t kDrainBytes = 64 << 10;
// Waking a sleeping thread takes tens of microseconds: sleep until so long before the instant,
// and spin for the rest. Where survivors spin, the hot path is what is measured: a victim that
// slept between two acts would add its own cold caches to the latency.
constexpr int64_t kSpinBefore_ns = 150 * kMicrosecond_ns;
constexpr int64_t kSpinBeforeSpinners_ns = kMillisecond_ns;
constexpr int64_t kActTimeout_ns = 5 * kSecond_ns;

// What direct descriptors allow: all other steps need a system call on a plain one.
bool may_be_direct(const Strategy& strategy) {
  const bool by_ring = strategy.act == Step::close || strategy.act == Step::disconnect ||
                       strategy.act == Step::shutdown_write || strategy.act == Step::shutdown_both;
  const bool by_process = strategy.scope == Scope::process;
  return by_process || (by_ring && strategy.ready != Step::set_repair);
}

// Whose survivor writes, and who reads and counts that. Where a byte is to stay unread it does not.
bool drains(const PlanRow& row) {
  return row.watch == Watch::writer && !strategy_of(row).survivor_sends_unread;
}

// Whose survivor sends as fast as it can: it reads, and does not send it back.
bool swallows(const ShardView& shard, const VictimEnd& end) {
  return traffic_of(shard.header->settings, shard.row_of(end)).load == Load::bulk;
}

// Who acts when: connections that die alone, and the first end of each group.
std::vector<uint32_t> acts_in_order(const ShardView& shard) {
  std::vector<uint32_t> order;
  for (uint32_t slot = 0; slot < shard.victims.size(); ++slot)
    if (shard.victims[slot].flags & kEstablished) order.push_back(slot);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return shard.victims[a].scheduled_ns < shard.victims[b].scheduled_ns;
  });
  std::unordered_set<uint32_t> groups;
  std::erase_if(order, [&](uint32_t slot) {
    const uint32_t group = shard.victims[slot].group;
    return group != kNoGroup && !groups.insert(group).second;
  });
  return order;
}

}  // namespace

Result<RingVictim> RingVictim::open(const ShardView& shard, int control,
                                    std::vector<uint32_t> slots) {
  const ShardSettings& settings = shard.header->settings;
  RingSetup setup;
  setup.mode = RingMode::defer;  // the victim's thread asks for completions when it has time
  const bool receives = settings.victims.victim_requests != VictimRequests::none ||
                        settings.writers || victims_answer(shard);
  const unsigned requests = has_traffic(settings) ? 2 : receives ? 1 : 0;
  setup.completion_entries = ring_completions(slots.size(), requests, settings.most_completions);
  setup.enters = &shard.header->progress.victim_ring_enters;
  auto ring = Ring::open(setup);
  if (!ring) return ring.error();
  ShardProgress& progress = shard.header->progress;
  progress.victim_ring_bytes += ring->shared_bytes();
  progress.victim_ring_flags = ring->setup_flags();
  progress.victim_ring_completions = ring->completion_entries();
  RingVictim victim(shard, std::move(*ring), std::move(slots));
  victim.control_ = control;
  victim.scratch_.resize(static_cast<size_t>(settings.payload_bytes), 'd');
  if (settings.writers || has_traffic(settings)) victim.drain_.resize(kDrainBytes);
  if (has_traffic(settings)) victim.next_sign_ns_.resize(shard.victims.size());
  const auto rows = std::span(shard.header->rows, settings.row_count);
  for (const PlanRow& row : rows) {
    if (strategy_of(row).act != Step::destroy || victim.diag_) continue;
    auto diag = SockDiag::open();
    if (!diag) return diag.error();
    victim.diag_.emplace(std::move(*diag));
  }
  if (settings.victims.direct_descriptors && !victim.slots_.empty()) {
    const int failed = io_uring_register_files_sparse(victim.ring_->raw(),
                                                      static_cast<unsigned>(victim.slots_.size()));
    if (failed < 0) return make_error("io_uring_register_files_sparse", -failed, "");
  }
  if (!victim.arm_control()) return *victim.ring_->status("watch the control socket");
  return victim;
}

int wait_until_unread(int descriptor) {
  const int64_t give_up_ns = now_ns() + kActTimeout_ns;
  while (true) {
    const auto unread = unread_bytes(descriptor);
    if (!unread) return unread.error().error_number;
    if (*unread > 0) return 0;
    if (now_ns() > give_up_ns) return ETIME;
    sleep_for(kMillisecond_ns / 10);
  }
}

void stamp_acts(const ShardView& shard, std::span<const uint32_t> slots) {
  const int64_t issued_ns = now_ns();
  for (const uint32_t slot : slots)
    std::atomic_ref(shard.victims[slot].issued_ns).store(issued_ns, std::memory_order_release);
}

void note_account(const ShardView& shard, uint32_t slot) {
  const VictimEnd& end = shard.victims[slot];
  if (shard.reads.empty() || end.descriptor < 0) return;
  const auto account = read_byte_account(end.descriptor);
  if (!account) return;
  ReadRecord& record = shard.reads[slot];
  record.received_bytes = account->received;
  record.unread_bytes = account->unread;
  record.told = true;
}

bool RingVictim::arm_control() {
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  io_uring_prep_poll_add(sqe, control_, POLLIN);
  io_uring_sqe_set_data64(sqe, tag(Kind::control, 0));
  ring_->submit();
  return true;
}

Status RingVictim::prepare() {
  for (const uint32_t slot : slots_) {
    VictimEnd& end = shard_.victims[slot];
    const Strategy& strategy = strategy_of(shard_, end);
    if (const int failed = perform(strategy.prepare, end))
      return make_error("prepare", failed,
                        fmt::format("{} ({})", strategy.name, step_name(strategy.prepare)));
  }
  return std::nullopt;
}

Status RingVictim::arm() {
  const ShardSettings& settings = shard_.header->settings;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const uint32_t slot = slots_[i];
    VictimEnd& end = shard_.victims[slot];
    const Strategy& strategy = strategy_of(shard_, end);
    if (settings.victims.direct_descriptors && may_be_direct(strategy)) {
      const auto index = static_cast<unsigned>(i);
      const int updated = io_uring_register_files_update(ring_->raw(), index, &end.descriptor, 1);
      if (updated < 0) return make_error("io_uring_register_files_update", -updated, "");
      close(end.descriptor);  // the table holds the file now, so nothing is sent
      end.descriptor = static_cast<int>(index);
      end.flags |= kDirect;
    }
    // A victim that comes back is asked whether it is alive.
    const bool reads = drains(shard_.row_of(end));
    const PlanRow& row = shard_.row_of(end);
    const bool receives = !settings.victims.reader_stopped &&
                          (traffic_of(settings, row).load != Load::idle || sends_heartbeats(row) ||
                           settings.victims.victim_requests != VictimRequests::none ||
                           strategy.silence == Silence::returns || reads);
    // A receive would eat the byte that must stay unread, and turn the RST into a FIN.
    if (receives && !strategy.survivor_sends_unread &&
        (reads || strategy.when_told != WhenTold::writes_after_fin) && !arm_receive(slot))
      break;
  }
  ring_->submit();  // what it does not take now, the schedule's first wait hands over
  return ring_->status("arm the victims' requests");
}

bool RingVictim::arm_receive(uint32_t slot) {
  VictimEnd& end = shard_.victims[slot];
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return false;
  const bool counts_only = drains(shard_.row_of(end)) || swallows(shard_, end);
  std::vector<char>& into = counts_only ? drain_ : scratch_;
  io_uring_prep_recv(sqe, end.descriptor, into.data(), into.size(), 0);
  if (end.flags & kDirect) sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(sqe, tag(Kind::receive, slot));
  end.flags |= kReceiveArmed;
  return true;
}

void RingVictim::handle(const io_uring_cqe& completion) {
  const auto slot = static_cast<uint32_t>(completion.user_data);
  switch (static_cast<Kind>(completion.user_data >> 32)) {
    case Kind::receive: {
      VictimEnd& end = shard_.victims[slot];
      end.flags &= ~kReceiveArmed;
      if (drains(shard_.row_of(end))) return count_drained(slot, completion.res);
      if (completion.res <= 0 || (end.flags & kInjected)) return;
      if (swallows(shard_, end)) {
        show_life(slot);
        arm_receive(slot);
        return;
      }
      io_uring_sqe* sqe = ring_->entry();
      if (!sqe) return;
      io_uring_prep_send(sqe, end.descriptor, scratch_.data(), static_cast<size_t>(completion.res),
                         MSG_NOSIGNAL);
      if (end.flags & kDirect) sqe->flags |= IOSQE_FIXED_FILE;
      io_uring_sqe_set_data64(sqe, tag(Kind::send, slot));
      end.flags |= kSendInFlight;
      return;
    }
    case Kind::send: {
      VictimEnd& end = shard_.victims[slot];
      end.flags &= ~kSendInFlight;
      if (completion.res > 0) end.bytes_sent += static_cast<uint32_t>(completion.res);
      if (completion.res > 0 && !(end.flags & kInjected)) arm_receive(slot);
      return;
    }
    case Kind::act:
      if (slot != acting_slot_) return;  // of an act that was given up on
      act_result_ = completion.res < 0 ? -completion.res : 0;
      accepted_bytes_ = completion.res < 0 ? 0 : static_cast<uint32_t>(completion.res);
      return;
    case Kind::cancel:
      return;
    case Kind::control:
      control_ready_ = true;
      return;
  }
}

// Who swallows all that comes cannot tell a heartbeat from the rest: it answers with a byte now and
// then, as long as it reads.
void RingVictim::show_life(uint32_t slot) {
  const VictimEnd& end = shard_.victims[slot];
  if (!sends_heartbeats(shard_.row_of(end)) || (end.flags & kDirect)) return;
  const int64_t now = now_ns();
  if (now < next_sign_ns_[slot]) return;
  next_sign_ns_[slot] = now + shard_.header->settings.probe_settings.heartbeat_interval_ns / 2;
  (void)!send(end.descriptor, "l", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void RingVictim::count_drained(uint32_t slot, int result) {
  if (result <= 0) return;
  const VictimEnd& end = shard_.victims[slot];
  shard_.reads[slot].delivered_bytes += static_cast<uint64_t>(result);
  if (!(end.flags & kInjected) || reads_on(end)) arm_receive(slot);
}

// After SHUT_WR the victim goes on reading.
bool RingVictim::reads_on(const VictimEnd& end) const {
  const PlanRow& row = shard_.row_of(end);
  return drains(row) && strategy_of(row).act == Step::shutdown_write;
}

void RingVictim::reap(bool sleep, int64_t until_ns) {
  if (sleep) {
    ring_->wait_until(until_ns);
  } else {
    if (io_uring_sq_ready(ring_->raw()) > 0) ring_->submit();
    ring_->poll();
  }
  std::array<io_uring_cqe*, kBatch> batch;
  const auto completions = ring_->completions(batch);
  for (const io_uring_cqe* completion : completions) handle(*completion);
  ring_->seen(static_cast<unsigned>(completions.size()));
}

Status RingVictim::wait_for_instant(int64_t instant_ns, const std::function<bool()>& interrupted) {
  const ShardSettings& settings = shard_.header->settings;
  const int64_t spin_ns = !settings.victim_spins ? 0
                          : settings.spin        ? kSpinBeforeSpinners_ns
                                                 : kSpinBefore_ns;
  while (!stopped_) {
    const bool sleep = instant_ns - now_ns() > spin_ns;
    reap(sleep, instant_ns - spin_ns);
    if (ring_->failed()) break;
    if (control_ready_) {
      control_ready_ = false;
      stopped_ = interrupted();
      arm_control();
    }
    if (now_ns() >= instant_ns) break;
  }
  return ring_->status("victims' ring");
}

Status RingVictim::run_schedule(int64_t start_ns, const ScheduleHooks& hooks) {
  for (const uint32_t slot : acts_in_order(shard_)) {
    const VictimEnd& end = shard_.victims[slot];
    if (Status failed = wait_for_instant(start_ns + end.scheduled_ns, hooks.interrupted))
      return failed;
    if (stopped_) return std::nullopt;
    if (end.group != kNoGroup) {
      hooks.act_on_group(end.group);
      continue;
    }
    inject(slot);
    const PlanRow& row = shard_.row_of(end);
    if (survivor_is_told(row)) hooks.acted(slot);
  }
  return ring_->status("victims' ring");
}

void RingVictim::inject(uint32_t slot) {
  VictimEnd& end = shard_.victims[slot];
  LASTACK_ASSERT((end.flags & kEstablished) && !(end.flags & kInjected), slot, end.flags);
  const Strategy& strategy = strategy_of(shard_, end);
  if (stays_alive(strategy)) {
    stamp_acts(shard_, std::span(&slot, 1));
    shard_.header->progress.injected.fetch_add(1, std::memory_order_release);
    return;
  }
  const bool in_flight = end.flags & (kReceiveArmed | kSendInFlight);
  const bool stays = shard_.header->settings.victims.victim_requests == VictimRequests::recv;
  int failed = in_flight && !stays && !reads_on(end) ? cancel_receive(slot) : 0;
  end.flags |= kInjected;
  if (failed == 0) failed = perform(strategy.ready, end);
  note_account(shard_, slot);
  stamp_acts(shard_, std::span(&slot, 1));  // never after the act, which may deliver its RST inline
  if (failed == 0) failed = perform(strategy.act, end);
  end.act_error = failed;
  ShardProgress& progress = shard_.header->progress;
  if (failed) progress.failed_acts.fetch_add(1, std::memory_order_relaxed);
  progress.injected.fetch_add(1, std::memory_order_release);
}

// A request in flight holds the file: the close would return 0 and send nothing until it ends.
int RingVictim::cancel_receive(uint32_t slot) {
  VictimEnd& end = shard_.victims[slot];
  end.flags |= kInjected;  // what arrives from here on is not answered
  if (io_uring_sqe* sqe = ring_->entry()) {
    io_uring_prep_cancel64(sqe, tag(Kind::receive, slot), 0);
    io_uring_sqe_set_data64(sqe, tag(Kind::cancel, slot));
  }
  const int64_t give_up_ns = now_ns() + kActTimeout_ns;
  const auto in_flight = [&] { return (end.flags & (kReceiveArmed | kSendInFlight)) != 0; };
  while (in_flight() && !ring_->failed() && now_ns() < give_up_ns) reap(true, give_up_ns);
  return in_flight() ? (ring_->failed() ? ring_->failed() : ETIME) : 0;
}

int RingVictim::perform_on_ring(const std::function<void(io_uring_sqe*)>& prepare,
                                const VictimEnd& end) {
  io_uring_sqe* sqe = ring_->entry();
  if (!sqe) return EBUSY;
  prepare(sqe);
  if (end.flags & kDirect && sqe->opcode != IORING_OP_CLOSE) sqe->flags |= IOSQE_FIXED_FILE;
  acting_slot_ = static_cast<uint32_t>(&end - shard_.victims.data());
  io_uring_sqe_set_data64(sqe, tag(Kind::act, acting_slot_));
  act_result_.reset();
  ring_->submit();  // one injection per submit
  const int64_t give_up_ns = now_ns() + kActTimeout_ns;
  reap(false, 0);
  while (!act_result_ && !ring_->failed() && now_ns() < give_up_ns) reap(true, give_up_ns);
  return act_result_.value_or(ring_->failed() ? ring_->failed() : ETIME);
}

int RingVictim::perform(Step step, VictimEnd& end) {
  const auto error_of = [](const Status& status) { return status ? status->error_number : 0; };
  switch (step) {
    case Step::none:
      return 0;
    case Step::set_linger_zero:
      return error_of(set_option(end.descriptor, Option::linger, 0));
    case Step::set_repair:
      return error_of(set_option(end.descriptor, Option::repair, 1));
    case Step::send_payload: {
      const int failed = perform_on_ring(
          [&](io_uring_sqe* sqe) {
            io_uring_prep_send(sqe, end.descriptor, scratch_.data(), scratch_.size(), MSG_NOSIGNAL);
          },
          end);
      end.bytes_sent += accepted_bytes_;
      return failed;
    }
    case Step::verify_unread:
      return wait_until_unread(end.descriptor);
    case Step::close: {
      const int failed = perform_on_ring(
          [&](io_uring_sqe* sqe) {
            if (end.flags & kDirect)
              io_uring_prep_close_direct(sqe, static_cast<unsigned>(end.descriptor));
            else
              io_uring_prep_close(sqe, end.descriptor);
          },
          end);
      if (failed == 0 || failed == ETIME) end.descriptor = -1;  // the request has it
      return failed;
    }
    case Step::shutdown_write:
    case Step::shutdown_both: {
      const int how = step == Step::shutdown_write ? SHUT_WR : SHUT_RDWR;
      // IORING_OP_SHUTDOWN always goes through a kernel worker thread, which would lie between
      // t0 and the FIN; only a direct descriptor leaves no other way.
      if (!(end.flags & kDirect)) return shutdown(end.descriptor, how) == 0 ? 0 : errno;
      return perform_on_ring(
          [&](io_uring_sqe* sqe) { io_uring_prep_shutdown(sqe, end.descriptor, how); }, end);
    }
    case Step::disconnect: {
      static const sockaddr kUnspecified{AF_UNSPEC, {}};
      return perform_on_ring(
          [&](io_uring_sqe* sqe) {
            io_uring_prep_connect(sqe, end.descriptor, &kUnspecified, sizeof(kUnspecified));
          },
          end);
    }
    case Step::destroy:
      return diag_->destroy(shard_.header->settings.family, end.tuple);
    case Step::drop_packets:
      return error_of(drop_incoming(end.descriptor));
    case Step::set_linger2:
      return error_of(set_option(end.descriptor, Option::linger2_s, -1));
    case Step::answer_unreachable:
      return 0;  // done once for the whole group
    case Step::exit_process:
    case Step::kill_process:
    case Step::freeze_process:
    case Step::close_listener:
    case Step::cut_path:
      return EINVAL;  // done to a whole group
  }
  return EINVAL;
}

Status RingVictim::run_until_control() {
  while (!control_ready_ && !ring_->failed()) reap(true, now_ns() + kSecond_ns);
  control_ready_ = false;
  arm_control();
  return ring_->status("victims' ring");
}

Status RingVictim::clean_up() {
  if (ring_ && !shard_.reads.empty()) {
    // Reads in flight must be counted before the kernel is asked.
    for (const uint32_t slot : slots_) {
      VictimEnd& end = shard_.victims[slot];
      const bool read_on = reads_on(end);
      if (end.flags & kReceiveArmed) (void)cancel_receive(slot);  // else cancel_all() tells
      if (!shard_.reads[slot].told || read_on) note_account(shard_, slot);
    }
  }
  Status failed;
  if (ring_) failed = ring_->cancel_all();
  ring_.reset();
  for (const uint32_t slot : slots_) {
    VictimEnd& end = shard_.victims[slot];
    if (end.descriptor < 0 || (end.flags & kDirect)) continue;
    // A silenced socket would retransmit its FIN for a minute: forget it without a packet.
    if (set_option(end.descriptor, Option::repair, 1))
      (void)set_option(end.descriptor, Option::linger, 0);  // else a FIN: the books are closed
    close(end.descriptor);
    end.descriptor = -1;
  }
  return failed;
}

}  // namespace lastack
