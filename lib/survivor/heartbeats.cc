#include "survivor/heartbeats.h"

#include <algorithm>

namespace lastack {

void Heartbeats::start() {
  const int64_t now = now_ns();
  for (SurvivorEnd& end : shard_.survivors)
    if ((end.flags & kEstablished) && probe_row(shard_.row_of(end).probe).heartbeat_decides)
      end.silent_since_ns = now;
}

void Heartbeats::stop() {
  stopped_ = true;
  longest_silence_ns_.clear();
  for (const SurvivorEnd& end : shard_.survivors)
    longest_silence_ns_.push_back(end.longest_silence_ns);
}

void Heartbeats::clean_up() {
  for (size_t slot = 0; slot < longest_silence_ns_.size(); ++slot)
    shard_.survivors[slot].longest_silence_ns = longest_silence_ns_[slot];
}

bool Heartbeats::uses(uint32_t slot, Heartbeat way) const {
  const SurvivorEnd& end = shard_.survivors[slot];
  if (!(end.flags & kEstablished)) return false;
  if (!victim_answers(strategy_of(shard_, end))) return false;
  return probe_row(shard_.row_of(end).probe).heartbeat == way;
}

bool Heartbeats::any(Heartbeat way) const {
  const auto rows = std::span(shard_.header->rows, shard_.header->settings.row_count);
  return std::any_of(rows.begin(), rows.end(),
                     [&](const PlanRow& row) { return probe_row(row.probe).heartbeat == way; });
}

int64_t Heartbeats::first_after_ns(uint32_t slot) const {
  const int64_t interval_ns = settings().heartbeat_interval_ns;
  if (settings().heartbeats_aligned) return interval_ns;
  const auto count = static_cast<int64_t>(shard_.survivors.size());
  return std::max<int64_t>(1, interval_ns * (slot + 1) / count);
}

Heartbeats::Due Heartbeats::look(uint32_t slot, int64_t now) const {
  const SurvivorEnd& end = shard_.survivors[slot];
  if (stopped_ || (end.flags & kConcluded)) return Due::ended;
  if (!probe_row(shard_.row_of(end).probe).heartbeat_decides) return Due::heartbeat;
  const int64_t silent_ns = now - end.silent_since_ns;
  // Whose answer lies in the socket while this thread was busy elsewhere is not dead.
  if (silent_ns >= settings().heartbeat_deadline_ns) {
    const auto unread = unread_bytes(end.descriptor);
    return unread && *unread > 0 ? Due::nothing : Due::death;
  }
  // Half: the answer to the last one came a little after the last look.
  return silent_ns >= settings().heartbeat_interval_ns / 2 ? Due::heartbeat : Due::nothing;
}

int64_t Heartbeats::next_look_ns(uint32_t slot, int64_t now) const {
  const SurvivorEnd& end = shard_.survivors[slot];
  const int64_t interval_ns = settings().heartbeat_interval_ns;
  if (!probe_row(shard_.row_of(end).probe).heartbeat_decides) return now + interval_ns;
  const int64_t silent_ns = now - end.silent_since_ns;
  // A peer that was just heard is asked an interval after that, a silent one an interval from now.
  const int64_t ask_ns =
      silent_ns < interval_ns / 2 ? end.silent_since_ns + interval_ns : now + interval_ns;
  return std::min(ask_ns, end.silent_since_ns + settings().heartbeat_deadline_ns);
}

TimerWheel::TimerWheel(int64_t tick_ns, int64_t span_ns, int64_t now)
    : tick_ns_(tick_ns),
      first_ns_(now),
      turned_ns_(now),
      ticks_(static_cast<size_t>(span_ns / tick_ns) + 3) {}

void TimerWheel::set(uint32_t slot, int64_t due_ns) {
  // Never early: into the tick after the instant.
  const int64_t last_ns = turned_ns_ + tick_ns_ * static_cast<int64_t>(ticks_.size() - 1);
  const int64_t at_ns = std::clamp(due_ns + tick_ns_ - 1, turned_ns_ + tick_ns_, last_ns);
  ticks_[index_of(at_ns)].push_back(slot);
  ++count_;
}

}  // namespace lastack
