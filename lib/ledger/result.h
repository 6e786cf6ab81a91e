// Everything that one run found out: plain values, complete without the processes that made them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "base/host_load.h"
#include "base/limits.h"
#include "base/time_unit.h"
#include "ledger/probe_ledger.h"
#include "ledger/write_ledger.h"
#include "model/finding.h"
#include "model/run_status.h"
#include "net/counters.h"
#include "net/namespaces.h"
#include "net/socket.h"
#include "net/traffic.h"
#include "plan/plan.h"
#include "plan/spec.h"

namespace lastack {

// One ledger row: a cell of mix x watch x probe x write path.
struct LedgerRow {
  std::string strategy, watch, probe, family;
  std::string skipped;                // the reason; empty when the row ran
  std::vector<std::string> expected;  // finding names
  int64_t requested = 0;
  int64_t established = 0;
  int64_t torn_down = 0;   // successful acts
  int64_t found = 0;       // findings before the deadline
  int64_t nothing = 0;     // none before the deadline: right-censored
  int64_t undecided = 0;   // interrupted before the deadline
  int64_t unexpected = 0;  // ends that differ from `expected`, or came before t0
  int64_t late = 0;        // part of `nothing`: found, but after the deadline
  std::array<int64_t, kFindingCount> findings{};  // by Finding, `nothing` included
  int64_t bytes_received = 0;                     // by the survivors
  int64_t bytes_sent = 0;                         // accepted from the victims by their kernel
  int64_t alive = -1;  // answered after their path had come back; -1: nobody was asked
  // Connections that do not stand, and the errno of their connect or accept; 0: it was not tried.
  int64_t not_established = 0;
  std::map<int, int64_t> not_established_by;
  int64_t not_torn_down = 0;  // established, and their act failed or was never tried
  Histogram issued;           // latency since t0
  Histogram scheduled;        // latency since the instant that the schedule asked for
  Histogram written;          // since the survivor's first write, where it is told of the act
  std::string write_path;     // empty but for --watch writer
  WriteSums writes;
  ProbeSums probing;
  // Connections between whose t0 and finding, or deadline, a stall lies (RunResult::stalls); of
  // those that live, between the last byte and the finding.
  int64_t stalled = 0;

  // requested = established + not established, established = torn down + not torn down, torn down =
  // found + nothing + undecided. Unless `interrupted`, nothing is not established, not torn down or
  // undecided.
  bool whole(bool interrupted) const;
  bool operator==(const LedgerRow&) const = default;
};

// "recv", or "writer:splice".
std::string watch_text(const LedgerRow& row);
std::string watch_text(const PlanRow& row);

// A connection that did not end as its row says.
struct Surprise {
  uint32_t pair = 0;
  std::string strategy, watch, probe;
  std::string survivor_address;
  std::string expected, seen;
  std::string error;  // errno name or "0"
  bool before_act = false;
  bool operator==(const Surprise&) const = default;
};

// One row of events.csv.
struct Event {
  uint32_t pair = 0;
  uint16_t row = 0;
  std::string victim_address, survivor_address;
  int64_t scheduled_ns = -1, issued_ns = -1, found_ns = -1, written_ns = -1;  // since the start
  std::string finding, error;
  int64_t bytes_received = 0;
  // Of a writer; -1 and empty for other watches.
  int64_t writes_accepted_after_act = -1, writes_accepted_after_fin = -1, sigpipes = -1;
  std::string first_error, second_error;
  bool operator==(const Event&) const = default;
};

struct TimelineBin {
  int64_t start_ns = 0;  // since the start of the schedule
  int64_t width_ns = 0;  // the same in all bins of a run
  int64_t injected = 0;
  int64_t found = 0;
  int64_t in_flight = 0;  // injected and neither found nor past their deadline, at the bin's end
  bool operator==(const TimelineBin&) const = default;
};

// A counter against what rows and ledger say it must be.
struct Check {
  std::string counter, phase;
  int64_t least = 0, most = 0;  // equal: an exact check
  int64_t observed = 0;
  bool ok = false;
  bool operator==(const Check&) const = default;
};

struct Phase {
  std::string name;
  int64_t start_ns = 0;  // since the first phase
  int64_t duration_ns = 0;
  bool operator==(const Phase&) const = default;
};

// Of the workers of one role, with the threads that the kernel makes for their io_uring. Processes
// that victims have started are not in it.
struct RoleCost {
  int64_t user_ns = 0;
  int64_t system_ns = 0;
  int64_t context_switches = 0;  // voluntary: how often their threads went to sleep
  int64_t ring_enters = 0;       // calls of io_uring_enter(2)
  bool spins = false;            // they do not sleep: their CPU and switches tell nothing
  bool operator==(const RoleCost&) const = default;
};

constexpr int64_t kNotKnown = -1;  // of a figure that the host did not tell; none of them is -1

// From the armed watch to the closed ledger, where nothing else is said.
struct Cost {
  RoleCost victims, survivors;
  int64_t wall_ns = 0;
  TrafficCounters traffic;  // of the run's namespaces; with --host-network of everybody in it
  // Of the whole host; kNotKnown where the kernel cannot tell it apart
  // (CONFIG_IRQ_TIME_ACCOUNTING): then it is part of the CPU time of the processes that it
  // interrupted, as system, and of nobody's where it found a CPU idle.
  int64_t softirq_ns = kNotKnown;
  int64_t host_busy_ns = 0;        // all that the host's CPUs did, whoever they did it for
  int64_t memory_armed_bytes = 0;  // anonymous + shared + rings, PSS over all processes
  int64_t memory_peak_bytes = 0;
  int64_t slab_bytes = 0;  // growth of the kernel's slab while establishing, host-wide
  // Growth of TCP's queues (`mem` of /proc/net/sockstat), host-wide, from before establishing to
  // just before the ledger is closed.
  int64_t tcp_memory_bytes = 0;

  int64_t user_ns() const { return victims.user_ns + survivors.user_ns; }
  int64_t system_ns() const { return victims.system_ns + survivors.system_ns; }
  bool operator==(const Cost&) const = default;
};

constexpr std::string_view kStopped = "stopped", kWaited = "waited";
// The launcher or a worker did not run for so long that findings may come of it.
struct Stall {
  std::string process;   // "launcher", which may stand for all of the run, "victim", "survivor"
  int64_t shard = -1;    // -1: the launcher
  std::string cause;     // kStopped: it was not allowed to run; kWaited: others had the CPU
  int64_t start_ns = 0;  // since the start of the schedule, and not before the watch was armed
  int64_t duration_ns = 0;
  bool operator==(const Stall&) const = default;
};

int64_t sum_ns(const std::vector<Stall>& stalls);

// How the host served the run; where nothing else is said, from the armed watch to the closed
// ledger.
struct HostService {
  HostLoad load;           // before the run began
  double quota_cpus = -1;  // of the run's cgroup or an ancestor; below 0: no quota
  std::string quota_file;
  int64_t throttled_ns = 0;  // its cgroups stood still, summed over CPUs
  int64_t steal_ns = 0;      // of the whole host, by the hypervisor
  // Ready to run, and without a CPU; of workers' first threads.
  int64_t victims_waited_ns = 0, survivors_waited_ns = 0;
  Frequencies frequencies_before, frequencies_after;  // zeros: not known
  bool operator==(const HostService&) const = default;
};

struct WorkerPlace {
  std::string role;
  int64_t shard = 0, process = 0;
  int64_t cpu = -1;  // the only one that it may run on, as its kernel says; -1: it is not pinned
  bool spins = false;
  std::string cpus;    // that it may run on: "0-3"; empty: not known
  std::string policy;  // sched(7)
  int64_t nice = 0;
  bool operator==(const WorkerPlace&) const = default;
};

// What sockets of a role, and of survivors with a probe, have: read from one of them.
struct SocketReport {
  std::string role, probe;
  SocketFacts facts;
  bool operator==(const SocketReport&) const = default;
};

// The last ring of a role.
struct RingReport {
  std::string role;
  int64_t flags = 0;  // IORING_SETUP_*
  int64_t completion_entries = 0;
  bool operator==(const RingReport&) const = default;
};

// SIGPIPEs by the thread that got them: it makes all writes of its shard.
struct WriterThread {
  int64_t shard = 0, process = 0, sigpipes = 0;
  bool operator==(const WriterThread&) const = default;
};

struct RunResult {
  RunStatus status = RunStatus::failed;
  std::string error;                                      // for the statuses that have no ledger
  std::vector<std::pair<std::string, std::string>> spec;  // every effective option
  std::vector<std::string> notes;
  std::vector<LedgerRow> ledger;
  std::vector<Surprise> surprises;  // the first ones
  std::vector<Event> events;
  std::vector<TimelineBin> timeline;
  std::vector<Check> checks;
  // Packets that the host's CPUs dropped at full backlogs while the watch was armed: probes and
  // their answers may be among them. kNotKnown where the host does not tell.
  int64_t backlog_drops = 0;
  int64_t least_stall_ns = 0;  // shorter ones are not counted
  std::vector<Stall> stalls;
  HostService host;
  TimeUnit time_unit = TimeUnit::ns;  // of all times here
  bool exclusive = true;              // nobody else's traffic is in the counters
  bool balanced = false;
  std::map<std::string, std::map<std::string, int64_t>> counters;  // phase -> counter -> value
  std::vector<Phase> phases;
  Cost cost;
  std::vector<WorkerPlace> workers;
  std::vector<std::pair<std::string, std::string>> sysctls;  // as the run's namespace had them
  std::string congestion_control;  // of the sockets, which need not be the namespace's default
  std::vector<SocketReport> sockets;
  std::vector<RingReport> rings;
  std::vector<Limit> limits;                     // of the launcher, which workers inherit
  double requested_rate = 0, achieved_rate = 0;  // injections a second; 0: storm
  double requested_round_trips = 0, achieved_round_trips = 0;
  int64_t span_ns = 0;  // from the first t0 to the last finding
  int64_t completion_overflows = 0;
  std::vector<WriterThread> writer_threads;
  int64_t sigpipes_unblamed = 0;  // that no write explains
  // By how much the most delayed write missed its instant.
  int64_t write_lag_ns = 0;
  bool operator==(const RunResult&) const = default;
};

// For the way from the launcher to the program.
std::string serialize(const RunResult& result);
Result<RunResult> deserialize(const std::string& text);

}  // namespace lastack
