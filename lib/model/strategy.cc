#include "model/strategy.h"

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
     .need = Need::socket_destroy,
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
                                         "a private network namespace, and IPv4",
                                         "a kernel with SOCK_DESTROY (CONFIG_INET_DIAG_DESTROY and "
                                         "the module tcp_diag)"};
  return kNames[static_cast<size_t>(need)];
}

}  // namespace lastack
