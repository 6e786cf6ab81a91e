#include "survivor/common.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace lastack {
namespace {

void set_flag(SurvivorEnd& end, uint8_t flag) {
  // Not a read-modify-write: the end has one writer. Release: who sees the flag sees the finding.
  std::atomic_ref(end.flags).store(static_cast<uint8_t>(end.flags | flag),
                                   std::memory_order_release);
}

}  // namespace

Status send_unread_bytes(const ShardView& shard) {
  for (const SurvivorEnd& end : shard.survivors) {
    if (!(end.flags & kEstablished) || !strategy_of(shard, end).survivor_sends_unread) continue;
    const char byte = 'u';
    if (send(end.descriptor, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
      return errno_error("send", "the byte that stays unread");
  }
  return std::nullopt;
}

Status set_probe(const ShardView& shard, const SurvivorEnd& end) {
  const ProbeSettings& probe = shard.header->settings.probe_settings;
  Status failed;
  const auto set = [&](Option option, int64_t value) {
    if (!failed) failed = set_option(end.descriptor, option, static_cast<int>(value));
  };
  switch (shard.row_of(end).probe) {
    case Probe::none:
      break;
    case Probe::keepalive:
      set(Option::keepalive_idle_s, probe.keepalive_idle_ns / kSecond_ns);
      set(Option::keepalive_interval_s, probe.keepalive_interval_ns / kSecond_ns);
      set(Option::keepalive_count, probe.keepalive_count);
      set(Option::keepalive, 1);
      break;
    case Probe::user_timeout:
      set(Option::user_timeout_ms, probe.user_timeout_ns / kMillisecond_ns);
      break;
  }
  return failed;
}

void write_first(SurvivorEnd& end) {
  const char byte = 'w';
  end.written_ns = now_ns();
  if (send(end.descriptor, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
    end.evidence.write_error = static_cast<int16_t>(errno);
}

void ask_whether_alive(const ShardView& shard) {
  // Who never reads will not see an answer; and a writer's bytes are counted.
  if (engine_row(shard.header->settings.engine).only_writes) return;
  for (SurvivorEnd& end : shard.survivors) {
    const bool asked = (flags_of(end) & kEstablished) && !(flags_of(end) & kConcluded) &&
                       strategy_of(shard, end).silence == Silence::returns;
    const char byte = 'a';
    // Who cannot be sent to will not answer either, and that is noticed.
    if (asked) (void)!send(end.descriptor, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void close_abortively(const ShardView& shard) {
  for (SurvivorEnd& end : shard.survivors) {
    if (end.descriptor < 0) continue;
    set_option(end.descriptor, Option::linger, 0);
    close(end.descriptor);
    end.descriptor = -1;
  }
}

void count_received(const ShardView& shard, SurvivorEnd& end, uint32_t bytes) {
  end.bytes_received += bytes;
  const uint32_t left = response_left(end);
  if (left == 0) return;
  set_response_left(end, left - std::min(left, bytes));
  if (left <= bytes) ++shard.header->progress.round_trips;
}

void read_until_empty(const ShardView& shard, SurvivorEnd& end, std::span<char> scratch) {
  while (true) {
    const ssize_t got = recv(end.descriptor, scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got > 0) {
      count_received(shard, end, static_cast<uint32_t>(got));
      continue;
    }
    if (got == 0) end.evidence.read_eof = true;
    if (got < 0 && errno != EAGAIN && end.evidence.read_error == 0)
      end.evidence.read_error = static_cast<int16_t>(errno);
    return;
  }
}

Verdict conclude(const ShardView& shard, SurvivorEnd& end, int64_t stamp_ns) {
  if (end.flags & kConcluded) return Verdict::found;
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
    // Its completion decides, this instant stays.
    if (!(end.flags & kHeld)) end.found_ns = stamp_ns;
    set_flag(end, kHeld);
    return Verdict::held;
  }
  const bool answer_to_come = strategy_of(shard, end).when_told == WhenTold::writes_after_fin &&
                              shard.row_of(end).watch != Watch::writer;
  if (classified.finding == Finding::eof && answer_to_come) return Verdict::hang_up;
  if (!(end.flags & kHeld)) end.found_ns = stamp_ns;
  end.finding = classified.finding;
  end.error_number = static_cast<int16_t>(classified.error_number);
  set_flag(end, kConcluded);
  shard.header->progress.found.fetch_add(1, std::memory_order_release);
  return Verdict::found;
}

Verdict look(const ShardView& shard, SurvivorEnd& end, unsigned events, int64_t stamp_ns,
             std::span<char> scratch) {
  if (end.flags & kConcluded) return Verdict::found;
  end.evidence.poll_events |= static_cast<uint16_t>(events);
  read_until_empty(shard, end, scratch);
  if (events & kDeathEvents) return conclude(shard, end, stamp_ns);
  // The wait spoke of data only; the end was learned by the read just now.
  if (end.evidence.read_eof || end.evidence.read_error) return conclude(shard, end, now_ns());
  return Verdict::goes_on;
}

bool send_request(const ShardView& shard, SurvivorEnd& end, std::span<const char> request) {
  const ssize_t sent =
      send(end.descriptor, request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) {
    if (response_left(end)) set_response_left(end, static_cast<uint32_t>(sent));
    return true;
  }
  set_response_left(end, 0);
  if (errno == EAGAIN) return false;  // no room: the next request tries again
  if (end.evidence.write_error == 0) end.evidence.write_error = static_cast<int16_t>(errno);
  conclude(shard, end, now_ns());
  return false;
}

}  // namespace lastack
