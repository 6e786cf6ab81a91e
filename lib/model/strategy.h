// The close strategies: how a victim goes away. One row is one strategy, everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/finding.h"
#include "model/watch.h"
#include "net/counters.h"

namespace lastack {

// What the victim (or, where named, the survivor) does. A strategy is a row of steps.
enum class Step : uint8_t {
  none,
  set_linger_zero,  // SO_LINGER {1,0}
  set_repair,       // TCP_REPAIR on: the next close is silent (tcp_close, tp->repair)
  send_payload,     // --payload bytes to the survivor
  verify_unread,    // wait until the survivor's byte is queued, unread, at the victim
  close,
  shutdown_write,      // SHUT_WR
  shutdown_both,       // SHUT_RDWR
  disconnect,          // connect(AF_UNSPEC)
  destroy,             // SOCK_DESTROY through sock_diag(7)
  drop_packets,        // a socket filter that drops every packet that comes in
  exit_process,        // the victims' process leaves without closing anything
  kill_process,        // SIGKILL
  freeze_process,      // SIGSTOP
  set_linger2,         // TCP_LINGER2 -1: no FIN_WAIT2, an RST answers the ACK of the FIN
  close_listener,      // with the connections that wait in its backlog
  answer_unreachable,  // the victims' namespace becomes a router that knows no way to them
  cut_path,            // takes the victims' address away
};
std::string_view step_name(Step step);

enum class Scope : uint8_t { connection, process, listener, path };  // what dies together
std::string_view scope_name(Scope scope);

// What the survivor does when it hears of the act.
enum class WhenTold : uint8_t {
  goes_on,           // it is not told, and has watched from the start
  writes_after_fin,  // waits for the FIN, writes a byte, and only then watches
  reads,             // had not read until now
  writes_and_reads,  // had not read until now, and first writes a byte
};

// What a victim that went away without a packet does with what still comes.
enum class Silence : uint8_t {
  none,         // it did send something
  forgets,      // answers with an RST: it knows of no connection
  mute,         // answers nothing
  frozen,       // its kernel goes on acknowledging
  unreachable,  // a router answers with ICMP host unreachable
  returns,      // answers nothing for --cut-for, and then goes on
};

// The requests of io_uring that victims have in flight.
enum class VictimRequests : uint8_t {
  none,
  recv,         // an armed receive each, which a close() leaves as it is
  recv_cancel,  // an armed receive each, which is cancelled before t0
};

// What victims do until they go away, and for how long some of them are away.
struct VictimSettings {
  bool direct_descriptors = false;
  bool idle_policy = false;  // their processes are SCHED_IDLE (sched(7))
  VictimRequests victim_requests = VictimRequests::none;  // load or not
  bool reader_stopped = false;       // they do not read: the survivors fill their windows
  int64_t cut_for_ns = 500'000'000;  // Silence::returns
  bool operator==(const VictimSettings&) const = default;
};

enum class Side : uint8_t { server, client };  // which end survives
std::string_view side_name(Side side);

enum class Need : uint8_t {
  none,
  net_admin,        // CAP_NET_ADMIN over the network namespace
  private_network,  // namespaces of its own with a veth pair between them; IPv4
  socket_destroy,   // that right, and a kernel that has SOCK_DESTROY
};
std::string_view need_name(Need need);

struct Strategy {
  std::string_view name;
  std::string_view
      family;  // "fin", "rst", "fin-rst" or "silent": what is on the wire first; or "alive"
  Scope scope = Scope::connection;
  bool server_may_survive = true;
  bool client_may_survive = true;
  Need need = Need::none;
  Step prepare = Step::none;  // for all connections, before the schedule starts
  Step ready = Step::none;    // just before the act, not timed
  Step act = Step::none;      // makes the peer go away: t0 stands immediately before it
  Silence silence = Silence::none;
  bool survivor_sends_unread = false;  // while preparing, the survivor sends a byte to stay unread
  WhenTold when_told = WhenTold::goes_on;
  bool victim_sends = false;           // as fast as it can, until it goes away
  bool victim_reboots = false;         // after the act its process and namespace are made anew
  Finding finding = Finding::nothing;  // when no probe and no load interferes
  CounterValues changes = {};          // per connection, from armed to the closed ledger, idle load
  CounterValues may_add = {};          // at most so much more per connection
  std::string_view wire;
  std::string_view help;
};

std::span<const Strategy> strategies();
bool may_survive(const Strategy& strategy, Side side);
// The control: nobody goes away. Its act does nothing, and every finding is a false alarm.
bool stays_alive(const Strategy& strategy);
// Whether the peer lives, also where it is away for a while: who declares it dead is wrong.
bool peer_lives(const Strategy& strategy);
// Whether the victim reads and answers what survivors send it, as long as it is there.
bool victim_answers(const Strategy& strategy);
// The strategies that make a peer go away; `all` of --mix.
std::vector<size_t> close_strategies();

// Whether the survivor hears of the act, because what it does next is a write.
bool survivor_is_told(const Strategy& strategy, Watch watch);

}  // namespace lastack
