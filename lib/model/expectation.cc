#include "model/expectation.h"

#include <algorithm>

namespace lastack {
namespace {

std::vector<Expected> expect(std::initializer_list<Finding> findings) {
  std::vector<Expected> expected;
  for (const Finding finding : findings)
    expected.push_back({finding, finding_row(finding).error_number});
  return expected;
}

// Data for a peer that answers nothing. The first write stays unacknowledged, which starts
// TCP_USER_TIMEOUT and suspends keepalive (tcp_keepalive_timer: tp->packets_out).
std::vector<Expected> expected_by_silence(const Strategy& strategy, const Circumstances& when) {
  const Prediction promise = prediction_of(when);
  if (when.deadline_ns < promise.least_ns) return expect({Finding::nothing});
  if (strategy.silence == Silence::unreachable)
    return expect({Finding::ehostunreach, Finding::etimedout, Finding::nothing});
  const bool may_return = strategy.silence == Silence::returns;
  // A write after the error notices it.
  if (may_return || when.deadline_ns < promise.most_ns + kLateLeastDeadline_ns)
    return expect({Finding::etimedout, Finding::nothing});
  return expect({Finding::etimedout});
}

// A survivor that makes no call until it writes learns from its writes alone.
std::vector<Expected> expected_by_writing(const Strategy& strategy, const Circumstances& when) {
  // An RST that is there before the first write: sk_err is ECONNRESET (tcp_reset), and
  // sk_stream_error() hands it out.
  if (strategy.finding == Finding::econnreset) return expect({Finding::econnreset});
  // Its data comes before the FIN: the first write draws an RST in state ESTABLISHED.
  if (strategy.victim_sends) return expect({Finding::econnreset});
  // The first write succeeds and draws the RST; in CLOSE_WAIT tcp_reset() stores EPIPE, which the
  // second write gets.
  // Requests in flight hold a dead process's sockets for a while: the write may lie unread in them.
  if (strategy.scope == Scope::process && strategy.finding == Finding::eof)
    return expect({Finding::epipe, Finding::econnreset});
  if (fin_answers_data_by_rst(strategy) || strategy.finding == Finding::epipe)
    return expect({Finding::epipe});
  if (strategy.finding == Finding::eof) return expect({Finding::nothing});  // accepted for ever
  // No socket is there any more: the first write draws an RST, in state ESTABLISHED.
  if (strategy.silence == Silence::forgets) return expect({Finding::econnreset});
  if (strategy.silence == Silence::frozen) return expect({Finding::nothing});
  const bool returns_in_time =
      strategy.silence == Silence::returns && when.victims.cut_for_ns < deadly_absence_ns(when);
  if (returns_in_time) return expect({Finding::nothing});
  return expected_by_silence(strategy, when);
}

// A survivor that writes all the time, before the act and after it, to a victim that reads.
std::vector<Expected> expected_by_streaming(const Strategy& strategy, const Circumstances& when) {
  const bool looks = when.writing.before_write != BeforeWrite::none;
  std::vector<Expected> expected;
  const auto add = [&](std::initializer_list<Finding> findings) {
    for (const Expected& one : expect(findings)) expected.push_back(one);
  };
  if (strategy.finding == Finding::econnreset || strategy.victim_sends) {
    add({Finding::econnreset});
    // Who reads what the victim sends may reach its FIN.
    if (strategy.victim_sends && when.writing.before_write == BeforeWrite::recv)
      add({Finding::eof, Finding::epipe});
  } else if (strategy.act == Step::shutdown_write) {
    add({looks ? Finding::eof : Finding::nothing});  // the victim reads on
  } else if (strategy.finding != Finding::nothing) {
    // The first write after the FIN succeeds and draws an RST, which the second one meets. A
    // message that lies unread when the victim closes turns the FIN into an RST.
    add({Finding::epipe});
    if (strategy.act != Step::shutdown_both) add({Finding::econnreset});
    if (looks) add({Finding::eof});
  } else if (strategy.silence == Silence::forgets) {
    add({Finding::econnreset});
  } else if (strategy.silence == Silence::frozen) {
    // Its kernel acknowledges until its receive queue is full; TCP_USER_TIMEOUT also ends a
    // connection whose window stays shut (tcp_probe_timer).
    add({Finding::nothing});
    if (probe_row(when.probe).user_timeout) add({Finding::etimedout});
  } else {
    expected = expected_by_silence(strategy, when);
  }
  // A first piece may draw the RST, and a second one get its errno, which nobody sees.
  const bool swallows = write_path_row(when.write_path).in_pieces;
  const auto has = [&](Finding finding) {
    return std::any_of(expected.begin(), expected.end(),
                       [&](const Expected& one) { return one.finding == finding; });
  };
  if (swallows && has(Finding::econnreset) && !has(Finding::epipe)) add({Finding::epipe});
  // Pages of unacknowledged messages count against RLIMIT_MEMLOCK, over all processes of the user.
  // When it is used up, a write fails before the socket is looked at (msg_zerocopy_realloc).
  if (when.write_path == WritePath::send_zc && !has(Finding::nothing)) add({Finding::nothing});
  // A deadline without room for the writes that it takes. 30 gaps of a Poisson process fail to
  // hold two writes once in 10^11; a retransmission that must draw the RST waits for an RTO.
  const double gaps = when.writing.poisson_writes ? 30 : 4;
  const double needed_ns =
      (when.writing.writes_per_second > 0 ? gaps * 1e9 / when.writing.writes_per_second : 0) + 1e9;
  if (static_cast<double>(when.deadline_ns) < needed_ns && !has(Finding::nothing))
    add({Finding::nothing});
  return expected;
}

// Whoever says more is wrong. Heartbeats may be: a busy host answers late. And a user timeout ends
// a connection whose peer does not read, for a window may not stay shut (tcp_probe_timer).
std::vector<Expected> expected_of_the_living(const Circumstances& when) {
  const ProbeRow& probe = probe_row(when.probe);
  if (probe.heartbeat_decides) return expect({Finding::nothing, Finding::heartbeat_missed});
  // Answers to a window's probes are rationed to one in 500 ms (tcp_oow_rate_limited,
  // tcp_invalid_ratelimit): of two quick ones, one stays unanswered.
  const bool rationed = when.settings.retries2 < 2;
  if (when.victims.reader_stopped && (probe.user_timeout || rationed))
    return expect({Finding::etimedout, Finding::nothing});
  return expect({Finding::nothing});
}

// What the survivor of a peer that went away without a packet learns while it waits and reads.
std::vector<Expected> expected_of_silence(const Strategy& strategy, const Circumstances& when) {
  const ProbeRow& probe = probe_row(when.probe);
  const Pending pending = pending_of(when);
  const Prediction promise = prediction_of(when);
  std::vector<Expected> expected;
  const auto add = [&](std::initializer_list<Finding> findings) {
    for (const Expected& one : expect(findings)) expected.push_back(one);
  };
  if (strategy.silence == Silence::frozen) {
    // Its kernel answers all but a heartbeat. What nobody reads shuts the window, which a user
    // timeout does not forgive (tcp_probe_timer).
    if (probe.heartbeat_decides) add({Finding::heartbeat_missed});
    const bool may_shut = pending == Pending::stream || pending == Pending::window;
    if (may_shut && probe.user_timeout) add({Finding::etimedout});
    if (expected.empty() || may_shut || when.deadline_ns < promise.most_ns) add({Finding::nothing});
    return expected;
  }
  if (strategy.silence == Silence::forgets) {
    if (pending == Pending::nothing && !probe.keepalive) return expect({Finding::nothing});
    add({Finding::econnreset});
    // The heartbeat may have been on its way, or a request be lost, when the host went.
    if (probe.heartbeat_decides) add({Finding::heartbeat_missed});
    // With traffic, a connection may still be between two requests at its deadline; without, the
    // timer's own rounding may take the first probe past it.
    const int64_t first_probe = when.settings.keepalive_idle_ns;
    const bool may_outlast = pending == Pending::nothing
                                 ? when.deadline_ns < first_probe + timer_slack_ns(first_probe)
                                 : !probe.heartbeat_decides || when.deadline_ns < promise.most_ns;
    if (may_outlast) add({Finding::nothing});
    return expected;
  }
  if (!promise.promised) return expect({Finding::nothing});
  // What may come before the promised time: death itself comes after the last answer.
  const bool by_death = promise.since != Since::shut;
  const int64_t earliest_ns = !by_death ? 0
                              : pending == Pending::nothing && !probe.heartbeat_decides
                                  ? promise.least_ns - when.settings.keepalive_idle_ns
                              : probe.heartbeat_decides
                                  ? promise.least_ns - when.settings.heartbeat_interval_ns
                                  : promise.least_ns;
  if (strategy.silence == Silence::returns && when.victims.cut_for_ns < deadly_absence_ns(when))
    return expected_of_the_living(when);
  if (when.deadline_ns < earliest_ns) {
    // A connection between two requests has nothing in flight, and keepalive runs.
    const bool between = when.load == Load::echo && probe.keepalive;
    return between ? expect({Finding::nothing, Finding::etimedout}) : expect({Finding::nothing});
  }
  if (probe.heartbeat_decides) {
    add({Finding::heartbeat_missed});
    // The kernel may be quicker where tcp_retries2 is small.
    ProbeSettings kernel = when.settings;
    const Prediction retries =
        predict(Probe::retransmit, kernel, pending, when.tick_ns, when.warm_up_ns);
    if (retries.least_ns <= promise.most_ns) add({Finding::etimedout});
    if (strategy.silence == Silence::unreachable) add({Finding::ehostunreach});
  } else {
    // A timer that gives up names the last soft error (tcp_write_err), and that is the ICMP's. But
    // a keepalive probe is sent below snd_una, so that tcp_v4_err() takes its ICMP for a stale one.
    if (strategy.silence == Silence::unreachable && pending != Pending::nothing)
      add({Finding::ehostunreach});
    add({Finding::etimedout});
  }
  // A request that was acknowledged and not answered leaves nothing in flight, for ever; traffic
  // on many connections is seldom; and a deadline inside the timer's own rounding may cut it short.
  const bool may_return =
      strategy.silence == Silence::returns && when.victims.cut_for_ns < promise.most_ns;
  const bool seldom = pending != Pending::nothing && !probe.heartbeat_decides;
  if (seldom || may_return || when.deadline_ns < promise.most_ns + timer_slack_ns(promise.most_ns))
    add({Finding::nothing});
  return expected;
}

}  // namespace

bool is_late(const Circumstances& when) { return watch_row(when.watch).engine == Engine::late; }
bool is_writer(const Circumstances& when) { return watch_row(when.watch).engine == Engine::writer; }

bool sends_by_itself(const Circumstances& when) {
  return when.load != Load::idle || probe_row(when.probe).heartbeat != Heartbeat::none;
}

// From an orphan or time-wait socket after close() (tcp_rcv_state_process: TCPAbortOnData;
// tcp_timewait_state_process), or from a socket that is shut for reading (tcp_rcv_state_process,
// FIN_WAIT2 with RCV_SHUTDOWN: TCPAbortOnData). After SHUT_WR the victim still reads.
bool fin_answers_data_by_rst(const Strategy& strategy) {
  return strategy.finding == Finding::eof && strategy.act != Step::shutdown_write;
}

Pending pending_of(const Circumstances& when) {
  if (when.victims.reader_stopped) return Pending::window;
  if (is_late(when)) return Pending::request;
  if (is_writer(when) || when.load == Load::bulk) return Pending::stream;
  return sends_by_itself(when) ? Pending::request : Pending::nothing;
}

Prediction prediction_of(const Circumstances& when) {
  Prediction promise =
      predict(when.probe, when.settings, pending_of(when), when.tick_ns, when.warm_up_ns);
  // The first write after the death counts, and the last answer may be a pause older.
  if (is_writer(when) && when.writing.writes_per_second > 0 && promise.since == Since::heard &&
      !when.victims.reader_stopped)
    promise.since = Since::written;
  // And it is the next write that hears of it.
  if (is_writer(when) && when.writing.writes_per_second > 0) {
    for (Span& span : promise.spans)
      span.most_ns += static_cast<int64_t>(1e9 / when.writing.writes_per_second);
    if (promise.promised) promise.most_ns = promise.spans.back().most_ns;
  }
  return promise;
}

int64_t deadly_absence_ns(const Circumstances& when) {
  return shortest_deadly_absence_ns(when.probe, when.settings, pending_of(when), when.tick_ns,
                                    when.warm_up_ns);
}

bool close_waits(const Strategy& strategy, const Circumstances& when) {
  // A victim whose survivor's byte is to stay unread has no receive in flight.
  const bool receives = !strategy.survivor_sends_unread &&
                        (is_writer(when) || strategy.when_told != WhenTold::writes_after_fin);
  return when.victims.victim_requests == VictimRequests::recv &&
         strategy.scope == Scope::connection && strategy.act == Step::close && receives;
}

std::vector<Expected> expected_findings(const Strategy& strategy, const Circumstances& when) {
  if (close_waits(strategy, when)) {
    // Until the request ends, with the next byte of the survivor or never. The victim's kernel
    // answers meanwhile, as of a frozen process.
    const bool never = !is_late(when) && !is_writer(when) && !sends_by_itself(when);
    Circumstances cancelled = when;
    cancelled.victims.victim_requests = VictimRequests::recv_cancel;
    std::vector<Expected> expected;
    if (!never) expected = expected_findings(strategy, cancelled);
    expected.push_back({Finding::nothing, 0});
    return expected;
  }
  if (stays_alive(strategy)) return expected_of_the_living(when);
  if (is_late(when)) return expected_by_writing(strategy, when);
  if (is_writer(when)) return expected_by_streaming(strategy, when);
  const bool traffic = sends_by_itself(when);

  if (strategy.finding == Finding::nothing) return expected_of_silence(strategy, when);
  if (strategy.finding == Finding::eof && traffic) {
    // A request that crosses the FIN meets a closed socket and draws an RST; one that arrives just
    // before close() lies unread and turns the FIN into an RST. After SHUT_WR the victim still
    // reads.
    if (strategy.act == Step::shutdown_write) return expect({Finding::eof});
    if (strategy.act == Step::shutdown_both) return expect({Finding::eof, Finding::epipe});
    return expect({Finding::eof, Finding::epipe, Finding::econnreset});
  }
  // Whether the RST was there when the survivor looked.
  if (strategy.prepare == Step::set_linger2) return expect({Finding::eof, Finding::epipe});
  return expect({strategy.finding});
}

}  // namespace lastack
