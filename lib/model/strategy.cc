#include "model/strategy.h"

#include <algorithm>

namespace lastack {
namespace {

// A row states its own facts; what it leaves out is as in struct Strategy.
// All numbers are per connection with both ends in one namespace.
constexpr Strategy kStrategies[] = {
    {.name = "fin",
     .family = "fin",
     .act = Step::close,
     .finding = Finding::eof,
     .wire = "FIN",
     .help = "close() with nothing unread (RFC 9293 3.6)"},
    {.name = "fin-data",
     .family = "fin",
     .ready = Step::send_payload,
     .act = Step::close,
     .finding = Finding::eof,
     .wire = "data, FIN",
     .help = "send --payload bytes, then close(): the data arrives first, and wakes the survivor "
             "before t0"},
    {.name = "half-close",
     .family = "fin",
     .act = Step::shutdown_write,
     .finding = Finding::eof,
     .wire = "FIN",
     .help = "shutdown(SHUT_WR): the victim could still read"},
    {.name = "shutdown-both",
     .family = "fin",
     .act = Step::shutdown_both,
     .finding = Finding::eof,
     .wire = "FIN",
     .help = "shutdown(SHUT_RDWR): on the wire no different from half-close"},
    // __tcp_close(): SOCK_LINGER with a zero time disconnects: RST, both ends ESTABLISHED->CLOSE.
    {.name = "rst-linger",
     .family = "rst",
     .prepare = Step::set_linger_zero,
     .act = Step::close,
     .finding = Finding::econnreset,
     .changes = counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_data, 1}}),
     .wire = "RST",
     .help = "SO_LINGER {1,0}, then close(): the abortive close of socket(7)"},
    // tcp_disconnect(): an active reset, counted nowhere else.
    {.name = "rst-disconnect",
     .family = "rst",
     .act = Step::disconnect,
     .finding = Finding::econnreset,
     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 2}}),
     .wire = "RST",
     .help = "connect(AF_UNSPEC): resets the connection and keeps the descriptor"},
    // __tcp_close(): data_was_unread (RFC 2525 2.17).
    {.name = "rst-unread",
     .family = "rst",
     .prepare = Step::verify_unread,
     .act = Step::close,
     .survivor_sends_unread = true,
     .finding = Finding::econnreset,
     .changes = counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}),
     .wire = "RST",
     .help = "close() while the survivor's byte lies unread in the receive queue"},
    {.name = "rst-unread-data",
     .family = "rst",
     .prepare = Step::verify_unread,
     .ready = Step::send_payload,
     .act = Step::close,
     .survivor_sends_unread = true,
     .finding = Finding::econnreset,
     .changes = counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}),
     .wire = "data, RST",
     .help = "send --payload bytes, which wake the survivor before t0, then close() with its byte "
             "unread"},
    // The survivor's data meets either an orphan in FIN_WAIT1 (tcp_rcv_state_process:
    // TCPAbortOnData) or, once its ACK of the FIN came, a FIN_WAIT2 time-wait socket
    // (tcp_timewait_state_process: an RST alone). Only the survivor leaves CLOSE_WAIT for CLOSE.
    // That ACK may still wait in another CPU's backlog when the data overtakes it; it then meets no
    // socket and draws a second RST (seen with the tracepoint tcp:tcp_send_reset, NO_SOCKET).
    {.name = "fin-then-rst",
     .family = "fin-rst",
     .act = Step::close,
     .survivor_writes_first = true,
     .finding = Finding::epipe,
     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}}),
     .may_add = counter_changes({{Counter::abort_on_data, 1}, {Counter::out_rsts, 1}}),
     .wire = "FIN, then RST on the survivor's data",
     .help = "close(), and the survivor writes before it looks"},
    // tcp_abort() -> tcp_send_active_reset(), tcp_done().
    {.name = "destroy",
     .family = "rst",
     .need = Need::net_admin,
     .act = Step::destroy,
     .finding = Finding::econnreset,
     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 2}}),
     .wire = "RST",
     .help = "SOCK_DESTROY by an administrator, as `ss -K` does"},
    // tcp_disconnect() with tp->repair: ESTABLISHED->CLOSE without a packet.
    {.name = "vanish",
     .family = "silent",
     .need = Need::net_admin,
     .ready = Step::set_repair,
     .act = Step::close,
     .changes = counter_changes({{Counter::estab_resets, 1}}),
     .wire = "nothing; an RST answers whatever the survivor sends later",
     .help = "TCP_REPAIR, then close(): the connection is forgotten, as by a host that rebooted"},
    {.name = "silent",
     .family = "silent",
     .need = Need::net_admin,
     .act = Step::drop_packets,
     .wire = "nothing, and no answer ever",
     .help = "a socket filter drops all that arrives: a pulled cable for one connection"},
};

// Unacknowledged data gives up by itself after tcp_retries2 (15 by default: 924.6 s and more).
constexpr int64_t kRetries_ns = 900'000'000'000;

std::vector<Expected> expect(std::initializer_list<Finding> findings) {
  std::vector<Expected> expected;
  for (const Finding finding : findings)
    expected.push_back({finding, finding_row(finding).error_number});
  return expected;
}

bool is_late(const Circumstances& when) { return watch_row(when.watch).engine == Engine::late; }

// Whether data that arrives after this act draws an RST out of a connection that sent a FIN: from
// an orphan or time-wait socket after close() (tcp_rcv_state_process: TCPAbortOnData;
// tcp_timewait_state_process), or from a socket that is shut for reading (tcp_rcv_state_process,
// FIN_WAIT2 with RCV_SHUTDOWN: TCPAbortOnData). After SHUT_WR the victim still reads.
bool fin_answers_data_by_rst(const Strategy& strategy) {
  return strategy.family == "fin" && strategy.act != Step::shutdown_write;
}

// A survivor that makes no call until it writes learns from its writes alone.
std::vector<Expected> expected_by_writing(const Strategy& strategy, const Circumstances& when) {
  // An RST that is there before the first write: sk_err is ECONNRESET (tcp_reset), and
  // sk_stream_error() hands it out.
  if (strategy.finding == Finding::econnreset) return expect({Finding::econnreset});
  // The first write succeeds and draws the RST; in CLOSE_WAIT tcp_reset() stores EPIPE, which the
  // second write gets.
  if (fin_answers_data_by_rst(strategy) || strategy.finding == Finding::epipe)
    return expect({Finding::epipe});
  if (strategy.finding == Finding::eof) return expect({Finding::nothing});  // accepted for ever
  // No socket is there any more: the first write draws an RST, in state ESTABLISHED.
  if (strategy.act == Step::close) return expect({Finding::econnreset});
  // Silent death. The first write stays unacknowledged, which starts TCP_USER_TIMEOUT and suspends
  // keepalive (tcp_keepalive_timer: tp->packets_out).
  if (!probe_row(when.probe).needs_data_in_flight) {
    if (when.deadline_ns >= kRetries_ns) return expect({Finding::nothing, Finding::etimedout});
    return expect({Finding::nothing});
  }
  // It counts from the first retransmission (retransmits_timed_out: tp->retrans_stamp), which comes
  // an RTO after the first write; and the write after the error notices it.
  constexpr int64_t kFirstRetransmission_ns = 1'000'000'000;  // RFC 6298's RTO without a sample
  const int64_t predicted = predicted_ns(when.probe, when.settings);
  if (when.deadline_ns <
      predicted + timer_slack_ns(predicted) + kFirstRetransmission_ns + kLateLeastDeadline_ns)
    return expect({Finding::etimedout, Finding::nothing});
  return expect({Finding::etimedout});
}

bool found_by_idle_probe(const Circumstances& when) {
  return probe_row(when.probe).probes_idle_peers;
}

}  // namespace

std::span<const Strategy> strategies() { return kStrategies; }

bool survivor_is_told(const Strategy& strategy, Watch watch) {
  return strategy.survivor_writes_first || watch_row(watch).engine == Engine::late;
}

std::string_view step_name(Step step) {
  constexpr std::string_view kNames[] = {
      "none",           "set-linger-zero", "set-repair", "send-payload", "verify-unread", "close",
      "shutdown-write", "shutdown-both",   "disconnect", "destroy",      "drop-packets"};
  return kNames[static_cast<size_t>(step)];
}

std::string_view scope_name(Scope scope) {
  constexpr std::string_view kNames[] = {"connection", "process", "listener", "path"};
  return kNames[static_cast<size_t>(scope)];
}

std::string_view side_name(Side side) { return side == Side::server ? "server" : "client"; }

std::string_view need_name(Need need) {
  return need == Need::none ? "none" : "CAP_NET_ADMIN over the network namespace";
}

std::vector<Expected> expected_findings(const Strategy& strategy, const Circumstances& when) {
  if (is_late(when)) return expected_by_writing(strategy, when);
  const bool traffic = when.load != Load::idle;

  if (strategy.finding == Finding::nothing) {
    const bool vanished = strategy.act == Step::close;  // any packet to it draws an RST
    const ProbeRow& probe = probe_row(when.probe);
    const bool timer_runs = found_by_idle_probe(when) || (probe.needs_data_in_flight && traffic);
    if (vanished) {
      // With traffic, a connection may still be between two requests at its deadline.
      if (traffic) return expect({Finding::econnreset, Finding::nothing});
      if (!found_by_idle_probe(when)) return expect({Finding::nothing});
      // The first probe draws the RST; the timer's own rounding may take it past the deadline.
      const int64_t first_probe = when.settings.keepalive_idle_ns;
      if (when.deadline_ns < first_probe + timer_slack_ns(first_probe))
        return expect({Finding::econnreset, Finding::nothing});
      return expect({Finding::econnreset});
    }
    if (!timer_runs) {
      if (traffic && when.deadline_ns >= kRetries_ns)
        return expect({Finding::nothing, Finding::etimedout});
      return expect({Finding::nothing});
    }
    const int64_t predicted = predicted_ns(when.probe, when.settings);
    // Unacknowledged data suspends keepalive (tcp_keepalive_timer: tp->packets_out), and a
    // deadline inside the timer's own rounding may cut it short.
    if (traffic || when.deadline_ns < predicted + timer_slack_ns(predicted))
      return expect({Finding::etimedout, Finding::nothing});
    return expect({Finding::etimedout});
  }
  if (strategy.finding == Finding::eof && traffic) {
    // A request that crosses the FIN meets a closed socket and draws an RST; one that arrives just
    // before close() lies unread and turns the FIN into an RST. After SHUT_WR the victim still
    // reads.
    if (strategy.act == Step::close)
      return expect({Finding::eof, Finding::epipe, Finding::econnreset});
    if (strategy.act != Step::shutdown_write) return expect({Finding::eof, Finding::epipe});
  }
  return expect({strategy.finding});
}

std::pair<CounterValues, CounterValues> expected_changes(const Strategy& strategy,
                                                         const Circumstances& when,
                                                         Finding finding) {
  CounterValues least = strategy.changes;
  const auto add = [&](const CounterValues& more) {
    for (size_t i = 0; i < kCounterCount; ++i) least.values[i] += more.values[i];
  };
  const ProbeRow& probe = probe_row(when.probe);
  if (finding == Finding::etimedout) add(probe.on_timeout);
  if (strategy.finding == Finding::nothing && finding == Finding::econnreset) {
    // The survivor's packet met no socket: tcp_v4_rcv() -> tcp_v4_send_reset().
    least[Counter::out_rsts] += 1;
    least[Counter::estab_resets] += 1;
  }
  const bool drew_rst =
      is_late(when) && finding == Finding::epipe && fin_answers_data_by_rst(strategy);
  if (drew_rst) add(counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}}));
  CounterValues most = least;
  if (drew_rst) {
    // As for fin-then-rst.
    most[Counter::abort_on_data] += 1;
    most[Counter::out_rsts] += 1;
  }
  for (size_t i = 0; i < kCounterCount; ++i) most.values[i] += strategy.may_add.values[i];

  if (when.load != Load::idle && strategy.finding != Finding::nothing) {
    // Requests that arrive just before the act lie unread (__tcp_close counts TCPAbortOnClose and
    // looks at SO_LINGER only after that), those that arrive after it draw an RST.
    least[Counter::abort_on_data] = 0;
    most[Counter::abort_on_data] += 1;
    most[Counter::abort_on_close] += 1;
    most[Counter::out_rsts] += 2;
    most[Counter::estab_resets] += strategy.finding == Finding::eof ? 2 : 0;
  }
  const bool unacknowledged =
      when.load != Load::idle || (is_late(when) && strategy.family == "silent");
  if (unacknowledged) {
    // Data that nobody acknowledges is sent again until the ledger closes: RTO >= 200 ms and
    // doubling (RFC 6298), so at most log2(deadline / RTO) + 1 times.
    const int64_t tries = 2 + std::max<int64_t>(0, when.deadline_ns / 200'000'000);
    // A silenced victim's answer is sent again, too; it draws an RST once the survivor gave up.
    if (finding == Finding::etimedout) most[Counter::out_rsts] += tries;
    most[Counter::timeouts] += tries;
    most[Counter::retrans_segs] += tries;
  }
  return {least, most};
}

}  // namespace lastack
