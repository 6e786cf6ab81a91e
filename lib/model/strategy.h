// The close strategies: how a victim goes away. One row is one strategy, everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/finding.h"
#include "model/load.h"
#include "model/probe.h"
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
  shutdown_write,  // SHUT_WR
  shutdown_both,   // SHUT_RDWR
  disconnect,      // connect(AF_UNSPEC)
  destroy,         // SOCK_DESTROY through sock_diag(7)
  drop_packets,    // a socket filter that drops every packet that comes in
};
std::string_view step_name(Step step);

enum class Scope : uint8_t { connection, process, listener, path };  // what dies together
std::string_view scope_name(Scope scope);

enum class Side : uint8_t { server, client };  // which end survives
std::string_view side_name(Side side);

enum class Need : uint8_t { none, net_admin };  // CAP_NET_ADMIN over the network namespace
std::string_view need_name(Need need);

struct Strategy {
  std::string_view name;
  std::string_view family;  // "fin", "rst", "fin-rst" or "silent": what is on the wire first
  Scope scope = Scope::connection;
  int victim_descriptors = 1;  // per connection
  bool server_may_survive = true;
  bool client_may_survive = true;
  Need need = Need::none;
  Step prepare = Step::none;           // for all connections, before the schedule starts
  Step ready = Step::none;             // just before the act, not timed
  Step act = Step::none;               // makes the peer go away: t0 stands immediately before it
  bool survivor_sends_unread = false;  // while preparing, the survivor sends a byte to stay unread
  bool survivor_writes_first = false;  // after the act the survivor writes, and only then watches
  Finding finding = Finding::nothing;  // when no probe and no load interferes
  CounterValues changes = {};          // per connection, from armed to the closed ledger, idle load
  CounterValues may_add = {};          // at most so much more per connection
  std::string_view wire;
  std::string_view help;
};

std::span<const Strategy> strategies();

// Whether the survivor hears of the act, because what it does next is a write.
bool survivor_is_told(const Strategy& strategy, Watch watch);

// What one connection is expected to find, as a set: several when the kernel's timing decides.
struct Expected {
  Finding finding;
  int error_number;
};
struct Circumstances {
  Watch watch;
  Probe probe;
  ProbeSettings settings;
  Load load;
  int64_t deadline_ns;
};
std::vector<Expected> expected_findings(const Strategy& strategy, const Circumstances& when);

// The counters that one connection with this finding must have moved between the armed watch
// and the closed ledger; at least .first and at most .second.
std::pair<CounterValues, CounterValues> expected_changes(const Strategy& strategy,
                                                         const Circumstances& when,
                                                         Finding finding);

}  // namespace lastack
