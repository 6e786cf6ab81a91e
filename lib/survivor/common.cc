#include "survivor/common.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/assert.h"

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

namespace {

// The socket options of probes, in the order in which they are set.
struct ProbeOption {
  Option option;
  bool (*used_by)(const ProbeRow& probe);
  int64_t (*value)(const ProbeSettings& settings);
};

bool by_keepalive(const ProbeRow& probe) { return probe.keepalive; }
bool by_user_timeout(const ProbeRow& probe) { return probe.user_timeout; }

constexpr ProbeOption kProbeOptions[] = {
    {Option::keepalive, by_keepalive, [](const ProbeSettings&) { return int64_t{1}; }},
    {Option::keepalive_interval_s, by_keepalive,
     [](const ProbeSettings& settings) { return settings.keepalive_interval_ns / kSecond_ns; }},
    {Option::keepalive_count, by_keepalive,
     [](const ProbeSettings& settings) { return settings.keepalive_count; }},
    // Behind the others: setting it sets the timer anew, from the last packet that came, where
    // SO_KEEPALIVE counts from now (tcp_sock_set_keepidle_locked).
    {Option::keepalive_idle_s, by_keepalive,
     [](const ProbeSettings& settings) { return settings.keepalive_idle_ns / kSecond_ns; }},
    {Option::user_timeout_ms, by_user_timeout,
     [](const ProbeSettings& settings) { return settings.user_timeout_ns / kMillisecond_ns; }},
};

// What the row's probe asked for, against what the socket has.
Status check_probe(const ProbeRow& row, const ProbeSettings& settings, int socket) {
  for (const ProbeOption& one : kProbeOptions) {
    if (!one.used_by(row)) continue;
    const auto had = read_option(socket, one.option);
    if (!had) return had.error();
    if (*had == one.value(settings)) continue;
    return plain_error(
        fmt::format("a survivor's socket has {} {} and not {}, although setsockopt(2) succeeded: "
                    "the probe '{}' would measure another timer",
                    option_name(one.option), *had, one.value(settings), row.name));
  }
  return std::nullopt;
}

}  // namespace

Status set_probe(const ShardView& shard, const SurvivorEnd& end) {
  const ProbeRow& row = probe_row(shard.row_of(end).probe);
  for (const ProbeOption& one : kProbeOptions) {
    if (!one.used_by(row)) continue;
    const auto value = static_cast<int>(one.value(shard.header->settings.probe_settings));
    if (Status failed = set_option(end.descriptor, one.option, value)) return failed;
  }
  return std::nullopt;
}

Status check_sockets(const ShardView& shard) {
  for (const SurvivorEnd& end : shard.survivors) {
    SocketFacts& facts = shard.header->survivor_sockets[end.row];
    if (!(flags_of(const_cast<SurvivorEnd&>(end)) & kEstablished)) continue;
    if (facts.known || end.descriptor < 0) continue;
    const auto read = read_socket_facts(end.descriptor);
    if (!read) return read.error();
    facts = *read;
    const ProbeRow& row = probe_row(shard.row_of(end).probe);
    if (Status failed = check_probe(row, shard.header->settings.probe_settings, end.descriptor))
      return failed;
  }
  return std::nullopt;
}

void note_sent(const ShardView& shard, SurvivorEnd& end) {
  if (shard.row_of(end).since != Since::written) return;
  std::atomic_ref since(end.silent_since_ns);
  int64_t none = 0;
  since.compare_exchange_strong(none, now_ns(), std::memory_order_relaxed);
}

Status fill_windows(const ShardView& shard) {
  std::vector<int> sockets;
  std::vector<SurvivorEnd*> ends;
  for (SurvivorEnd& end : shard.survivors) {
    if (!(end.flags & kEstablished)) continue;
    sockets.push_back(end.descriptor);
    ends.push_back(&end);
  }
  return fill_until_shut(sockets, [&](size_t i, size_t taken) {
    SurvivorEnd& end = *ends[i];
    // Shut since the first look that found nothing in flight.
    if (taken > 0) end.silent_since_ns = 0;
    const bool counts = shard.row_of(end).since == Since::shut && end.silent_since_ns == 0;
    if (taken != 0 || !counts) return;
    const auto shut = waits_for_window(end.descriptor);
    if (shut && *shut) end.silent_since_ns = now_ns();
  });
}

void declare_dead(const ShardView& shard, SurvivorEnd& end, int64_t stamp_ns) {
  if (end.flags & kConcluded) return;
  end.found_ns = stamp_ns;
  end.finding = Finding::heartbeat_missed;
  end.error_number = 0;
  set_flag(end, kConcluded);
  shard.header->progress.found.fetch_add(1, std::memory_order_release);
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
    (void)set_option(end.descriptor, Option::linger, 0);  // else a FIN: the books are closed
    close(end.descriptor);
    end.descriptor = -1;
  }
}

void count_received(const ShardView& shard, SurvivorEnd& end, uint32_t bytes) {
  end.bytes_received += bytes;
  if (end.flags & kConcluded) return;  // from a path that came back: the verdict stands
  const PlanRow& row = shard.row_of(end);
  if (probe_row(row.probe).heartbeat_decides) {
    const int64_t now = now_ns();
    end.longest_silence_ns = std::max(end.longest_silence_ns, now - end.silent_since_ns);
    end.silent_since_ns = now;
  } else if (row.since == Since::written) {
    std::atomic_ref(end.silent_since_ns).store(0, std::memory_order_relaxed);
  }
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

Conclusion conclude(const ShardView& shard, SurvivorEnd& end, int64_t stamp_ns) {
  if (end.flags & kConcluded) return Conclusion::found;
  LASTACK_ASSERT((end.flags & kEstablished) && end.descriptor >= 0, end.pair, end.flags,
                 end.descriptor);
  Evidence& evidence = end.evidence;
  const bool named = evidence.read_error != 0 && evidence.read_error != EPIPE;
  if (!named) {
    // A read of 0, an EPIPE or poll bits alone do not tell a FIN from an RST: ask what lasts.
    evidence.tcp_state = looked(shard, read_tcp_state(end.descriptor));
    if (evidence.tcp_state != kTcpCloseWait && evidence.socket_error == 0)
      evidence.socket_error =
          static_cast<int16_t>(looked(shard, take_socket_error(end.descriptor)));
  }
  const Classified classified = classify(evidence);
  const bool errno_went_elsewhere =
      classified.finding == Finding::econnreset && classified.error_number == 0;
  if (errno_went_elsewhere && (end.flags & kSendInFlight)) {
    // Its completion decides, this instant stays.
    if (!(end.flags & kHeld)) end.found_ns = stamp_ns;
    set_flag(end, kHeld);
    return Conclusion::held;
  }
  const bool answer_to_come = strategy_of(shard, end).when_told == WhenTold::writes_after_fin &&
                              shard.row_of(end).watch != Watch::writer;
  if (classified.finding == Finding::eof && answer_to_come) return Conclusion::hang_up;
  if (!(end.flags & kHeld)) end.found_ns = stamp_ns;
  end.finding = classified.finding;
  end.error_number = static_cast<int16_t>(classified.error_number);
  const PlanRow& row = shard.row_of(end);
  const bool by_timer = end.finding == Finding::etimedout || end.finding == Finding::ehostunreach;
  // The kernel knows when the last packet came; before the descriptor is closed.
  if (by_timer && row.since == Since::heard && !probe_row(row.probe).heartbeat_decides)
    end.silent_since_ns = now_ns() - looked(shard, read_silence_ns(end.descriptor));
  set_flag(end, kConcluded);
  shard.header->progress.found.fetch_add(1, std::memory_order_release);
  return Conclusion::found;
}

Conclusion look(const ShardView& shard, SurvivorEnd& end, unsigned events, int64_t stamp_ns,
                std::span<char> scratch) {
  if (end.flags & kConcluded) return Conclusion::found;
  end.evidence.poll_events |= static_cast<uint16_t>(events);
  read_until_empty(shard, end, scratch);
  if (events & kDeathEvents) return conclude(shard, end, stamp_ns);
  // The wait spoke of data only; the end was learned by the read just now.
  if (end.evidence.read_eof || end.evidence.read_error) return conclude(shard, end, now_ns());
  return Conclusion::goes_on;
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
