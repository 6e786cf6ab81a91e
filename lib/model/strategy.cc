#include "model/strategy.h"

#include <algorithm>

#include "base/rows.h"

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
     .when_told = WhenTold::writes_after_fin,
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
     .silence = Silence::forgets,
     .changes = counter_changes({{Counter::estab_resets, 1}}),
     .wire = "nothing; an RST answers whatever the survivor sends later",
     .help = "TCP_REPAIR, then close(): the connection is forgotten, as by a host that rebooted"},
    {.name = "silent",
     .family = "silent",
     .need = Need::net_admin,
     .act = Step::drop_packets,
     .silence = Silence::mute,
     .wire = "nothing, and no answer ever",
     .help = "a socket filter drops all that arrives: a pulled cable for one connection"},
    // do_exit() -> exit_files(): every descriptor is closed as by close(), one after another.
    {.name = "exit",
     .family = "fin",
     .scope = Scope::process,
     .act = Step::exit_process,
     .finding = Finding::eof,
     .wire = "FIN",
     .help = "the process that holds the connection ends without closing it"},
    {.name = "exit-unread",
     .family = "rst",
     .scope = Scope::process,
     .prepare = Step::verify_unread,
     .act = Step::exit_process,
     .survivor_sends_unread = true,
     .finding = Finding::econnreset,
     .changes = counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}),
     .wire = "RST",
     .help = "the process ends while the survivor's byte lies unread"},
    {.name = "sigkill",
     .family = "fin",
     .scope = Scope::process,
     .act = Step::kill_process,
     .finding = Finding::eof,
     .wire = "FIN",
     .help = "SIGKILL: the kernel closes what the process held, as for exit"},
    {.name = "sigkill-unread",
     .family = "rst",
     .scope = Scope::process,
     .prepare = Step::verify_unread,
     .act = Step::kill_process,
     .survivor_sends_unread = true,
     .finding = Finding::econnreset,
     .changes = counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}),
     .wire = "RST",
     .help = "SIGKILL while the survivor's byte lies unread"},
    // tcp_close(): the orphan goes on sending what the process had handed over.
    {.name = "sigkill-sending",
     .family = "fin",
     .scope = Scope::process,
     .act = Step::kill_process,
     .when_told = WhenTold::reads,
     .victim_sends = true,
     .finding = Finding::eof,
     .wire = "the data that the victim's kernel had accepted, FIN",
     .help =
         "SIGKILL while it sends to a survivor that has stopped reading, and reads on after the "
         "act"},
    // tcp_rcv_state_process(), TCP_FIN_WAIT1: data for an orphan (TCPAbortOnData); where the byte
    // is faster than the signal it lies unread (TCPAbortOnClose).
    {.name = "sigkill-sending-chatty",
     .family = "rst",
     .scope = Scope::process,
     .act = Step::kill_process,
     .when_told = WhenTold::writes_and_reads,
     .victim_sends = true,
     .finding = Finding::econnreset,
     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}}),
     .may_add = counter_changes({{Counter::out_rsts, 2},
                                 {Counter::estab_resets, 1},
                                 {Counter::abort_on_data, 1},
                                 {Counter::abort_on_close, 1}}),
     .wire = "a part of the data, RST",
     .help = "the same, and the survivor writes before it reads on: the rest of the data is lost"},
    {.name = "freeze",
     .family = "silent",
     .scope = Scope::process,
     .act = Step::freeze_process,
     .silence = Silence::frozen,
     .finding = Finding::nothing,
     .wire = "nothing; its kernel goes on acknowledging data and keepalives",
     .help = "SIGSTOP: only an application that waits for an answer could notice"},
    // tcp_rcv_state_process(), TCP_FIN_WAIT1: with linger2 < 0 the ACK of the FIN ends the socket
    // and draws an RST. That ACK is a delayed one: most survivors have found the FIN by then, and
    // some RSTs come after the ledger was closed.
    {.name = "linger2",
     .family = "fin-rst",
     .prepare = Step::set_linger2,
     .act = Step::close,
     .finding = Finding::eof,
     .may_add = counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 1}, {Counter::abort_on_data, 1}}),
     .wire = "FIN, then RST on its ACK (which may wait for 40 ms)",
     .help = "TCP_LINGER2 -1, then close(): the victim skips FIN_WAIT2"},
    // inet_csk_listen_stop() -> inet_child_forget() -> tcp_disconnect().
    {.name = "listener-close",
     .family = "rst",
     .scope = Scope::listener,
     .server_may_survive = false,
     .act = Step::close_listener,
     .finding = Finding::econnreset,
     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 2}}),
     .wire = "RST",
     .help = "the listener closes while the connection waits in its backlog, never accepted"},
    {.name = "cable",
     .family = "silent",
     .scope = Scope::path,
     .need = Need::private_network,
     .act = Step::cut_path,
     .silence = Silence::mute,
     .finding = Finding::nothing,
     .wire = "nothing, and no answer ever, for every connection of the path at once",
     .help = "the path is cut at the victims' side"},
    {.name = "cable-restore",
     .family = "silent",
     .scope = Scope::path,
     .need = Need::private_network,
     .act = Step::cut_path,
     .silence = Silence::returns,
     .finding = Finding::nothing,
     .wire = "nothing for --cut-for, then all goes on",
     .help = "the path is cut and mended: who declares the peer dead is wrong"},
    {.name = "unreachable",
     .family = "silent",
     .scope = Scope::path,
     .need = Need::private_network,
     .prepare = Step::answer_unreachable,
     .act = Step::cut_path,
     .silence = Silence::unreachable,
     .finding = Finding::nothing,
     .wire = "nothing; ICMP host unreachable answers whatever the survivor sends",
     .help = "the router in front of the victims knows no way to them any more; it answers a "
             "survivor's "
             "address five times, then once a second (ip_error)"},
    {.name = "reboot",
     .family = "silent",
     .scope = Scope::path,
     .need = Need::private_network,
     .act = Step::cut_path,
     .silence = Silence::forgets,
     .victim_reboots = true,
     .finding = Finding::nothing,
     .wire = "nothing; then an RST answers whatever the survivor sends",
     .help =
         "the victims' path is cut, their process and namespace destroyed and made anew with the "
         "same addresses: vanish for a whole host"},
    {.name = "alive",
     .family = "alive",
     .wire = "nothing",
     .help = "the control: the peer stays, and every finding is a false alarm"},
};
static_assert(named(kStrategies, &Strategy::name));

std::vector<Expected> expect(std::initializer_list<Finding> findings) {
  std::vector<Expected> expected;
  for (const Finding finding : findings)
    expected.push_back({finding, finding_row(finding).error_number});
  return expected;
}

bool is_late(const Circumstances& when) { return watch_row(when.watch).engine == Engine::late; }
bool is_writer(const Circumstances& when) { return watch_row(when.watch).engine == Engine::writer; }

// Whether data that arrives after this act draws an RST out of a connection that sent a FIN: from
// an orphan or time-wait socket after close() (tcp_rcv_state_process: TCPAbortOnData;
// tcp_timewait_state_process), or from a socket that is shut for reading (tcp_rcv_state_process,
// FIN_WAIT2 with RCV_SHUTDOWN: TCPAbortOnData). After SHUT_WR the victim still reads.
bool fin_answers_data_by_rst(const Strategy& strategy) {
  return strategy.finding == Finding::eof && strategy.act != Step::shutdown_write;
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

// What the writes of such a survivor add. One segment draws one RST, and a victim's socket that is
// being closed may have some of them waiting.
void add_streaming(const Strategy& strategy, const Circumstances& when, Finding finding,
                   CounterValues& least, CounterValues& most) {
  const bool fin_first = strategy.finding == Finding::eof || strategy.finding == Finding::epipe;
  if (fin_first) {
    most[Counter::estab_resets] = 2;
    least = {};
    const bool drew_rst =
        finding == Finding::epipe && when.writing.before_write == BeforeWrite::none;
    if (drew_rst) least = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
  }
  const bool many =
      when.veth || when.writing.writes_per_second == 0 || strategy.scope == Scope::process;
  most[Counter::out_rsts] += many ? 64 : 4;
  least[Counter::abort_on_data] = 0;
  most[Counter::abort_on_data] += 1;
  most[Counter::abort_on_close] += 1;
  // The orphan has data that a survivor who does not read never takes, and gives up
  // (tcp_orphan_retries).
  if (strategy.victim_sends) most[Counter::abort_on_timeout] += 1;
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

// Whether the survivor sends before and after the act, without having been told of it.
bool sends_by_itself(const Circumstances& when) {
  return when.load != Load::idle || probe_row(when.probe).heartbeat != Heartbeat::none;
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

std::span<const Strategy> strategies() { return kStrategies; }

bool stays_alive(const Strategy& strategy) { return strategy.act == Step::none; }

bool peer_lives(const Strategy& strategy) {
  return stays_alive(strategy) || strategy.silence == Silence::returns;
}

bool victim_answers(const Strategy& strategy) {
  return strategy.scope != Scope::listener && !strategy.victim_sends &&
         !strategy.survivor_sends_unread && strategy.when_told == WhenTold::goes_on;
}

std::vector<size_t> close_strategies() {
  std::vector<size_t> closing;
  for (size_t i = 0; i < strategies().size(); ++i)
    if (!stays_alive(strategies()[i])) closing.push_back(i);
  return closing;
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

bool may_survive(const Strategy& strategy, Side side) {
  return side == Side::server ? strategy.server_may_survive : strategy.client_may_survive;
}

bool survivor_is_told(const Strategy& strategy, Watch watch) {
  const Engine engine = watch_row(watch).engine;
  if (engine == Engine::writer) return false;  // it writes anyway
  return strategy.when_told != WhenTold::goes_on || engine == Engine::late;
}

std::string_view step_name(Step step) {
  constexpr std::string_view kNames[] = {
      "none",           "set-linger-zero",    "set-repair",    "send-payload",   "verify-unread",
      "close",          "shutdown-write",     "shutdown-both", "disconnect",     "destroy",
      "drop-packets",   "exit-process",       "kill-process",  "freeze-process", "set-linger2",
      "close-listener", "answer-unreachable", "cut-path"};
  return kNames[static_cast<size_t>(step)];
}

std::string_view scope_name(Scope scope) {
  constexpr std::string_view kNames[] = {"connection", "process", "listener", "path"};
  return kNames[static_cast<size_t>(scope)];
}

std::string_view side_name(Side side) { return side == Side::server ? "server" : "client"; }

std::string_view need_name(Need need) {
  constexpr std::string_view kNames[] = {"none", "CAP_NET_ADMIN over the network namespace",
                                         "a private network namespace, and IPv4"};
  return kNames[static_cast<size_t>(need)];
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

std::pair<CounterValues, CounterValues> expected_changes(const Strategy& strategy,
                                                         const Circumstances& when,
                                                         Finding finding) {
  if (close_waits(strategy, when) && finding == Finding::nothing) {
    Circumstances cancelled = when;
    cancelled.victims.victim_requests = VictimRequests::recv_cancel;
    return {CounterValues{}, expected_changes(strategy, cancelled, finding).second};
  }
  CounterValues least = strategy.changes;
  // Data in flight suspends keepalive, whose end alone sends an RST.
  const Probe ended_by = pending_of(when) == Pending::nothing ? when.probe : Probe::retransmit;
  if (finding == Finding::etimedout || finding == Finding::ehostunreach)
    least += probe_row(ended_by).on_timeout;
  const bool drew_reset =
      finding == Finding::econnreset || (finding == Finding::epipe && is_writer(when));
  if (strategy.finding == Finding::nothing && drew_reset) {
    // The survivor's packet met no socket: tcp_v4_rcv() -> tcp_v4_send_reset().
    least[Counter::out_rsts] += 1;
    least[Counter::estab_resets] += 1;
  }
  const bool drew_rst =
      is_late(when) && finding == Finding::epipe && fin_answers_data_by_rst(strategy);
  if (drew_rst) least += counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
  // Data of a process that was killed while it sent is cut short by an RST as soon as the survivor
  // writes; and a late write that is faster than the end of the process lies unread there.
  const bool cut_short = (strategy.victim_sends || is_late(when)) &&
                         strategy.finding == Finding::eof && finding == Finding::econnreset;
  if (cut_short) least += counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
  CounterValues most = least;
  if (cut_short) {
    most[Counter::abort_on_data] += 1;
    most[Counter::abort_on_close] += 1;
    most[Counter::out_rsts] += 2;
    most[Counter::estab_resets] += 1;
  }
  if (drew_rst) {
    // As for fin-then-rst.
    most[Counter::abort_on_data] += 1;
    most[Counter::out_rsts] += 1;
  }
  // A live peer that keepalive gave up gets the RST, unless that is lost, too.
  if (peer_lives(strategy) && finding == Finding::etimedout && least[Counter::out_rsts] > 0)
    most[Counter::estab_resets] += 1;
  most += strategy.may_add;
  if (is_writer(when)) add_streaming(strategy, when, finding, least, most);

  if (sends_by_itself(when) && strategy.finding != Finding::nothing) {
    // Requests that arrive just before the act lie unread (__tcp_close counts TCPAbortOnClose and
    // looks at SO_LINGER only after that), those that arrive after it draw an RST.
    least[Counter::abort_on_data] = 0;
    most[Counter::abort_on_data] += 1;
    most[Counter::abort_on_close] += 1;
    most[Counter::out_rsts] += 2;
    most[Counter::estab_resets] += strategy.finding == Finding::eof ? 2 : 0;
  }
  const bool unacknowledged = when.victims.reader_stopped || sends_by_itself(when) ||
                              is_writer(when) || (is_late(when) && strategy.family == "silent");
  if (unacknowledged) {
    // Data that nobody acknowledges is sent again until the ledger closes: RTO >= 200 ms and
    // doubling (RFC 6298), so at most log2(deadline / RTO) + 1 times.
    const int64_t tries = 2 + std::max<int64_t>(0, when.deadline_ns / when.settings.rto_min_ns);
    // A silenced victim's answer is sent again, too; it draws an RST once the survivor gave up.
    if (finding == Finding::etimedout) most[Counter::out_rsts] += tries;
    // A survivor that gave up by itself leaves the kernel to it.
    if (finding == Finding::heartbeat_missed) most += probe_row(Probe::retransmit).on_timeout;
    most[Counter::timeouts] += tries;
    most[Counter::retrans_segs] += tries;
  }
  return {least, most};
}

}  // namespace lastack
