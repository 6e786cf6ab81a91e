// The records of a run that lie in shared memory: one per end, flat, written by the process that
// owns the end and readable after its death.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "model/finding.h"
#include "model/load.h"
#include "model/probe.h"
#include "model/strategy.h"
#include "model/watch.h"
#include "model/write_path.h"
#include "net/socket.h"
#include "ring/ring.h"

namespace lastack {

constexpr uint32_t kNoPair = 0xffffffff;
constexpr uint32_t kNoGroup = 0xffffffff;
constexpr uint16_t kMostRows = 512;

// Flags of an end; only its owner writes them.
enum EndFlag : uint8_t {
  kEstablished = 1 << 0,
  kReceiveArmed = 1 << 1,  // a receive or poll request is in flight
  kSendInFlight = 1 << 2,  // a send request is in flight
  kDirect = 1 << 3,        // `descriptor` is an index of the ring's file table
  kConcluded = 1 << 4,     // survivor: the finding is final
  kHeld = 1 << 5,          // survivor: the finding waits for the write in flight
  kInjected = 1 << 6,      // victim: the act was tried
};

// The victim's end. Instants are CLOCK_MONOTONIC of the victim's host.
struct VictimEnd {
  FourTuple tuple;
  uint32_t pair;         // the connection this end belongs to; kNoPair until the ends are joined
  int32_t descriptor;    // -1 when closed
  uint16_t row;          // index into ShardHeader::rows
  uint8_t flags;         // EndFlag
  uint8_t open_error;    // errno of the connect or accept that failed; Linux has none above 133
  int32_t act_error;     // errno of a failed act
  uint32_t group;        // ends of one number die together; kNoGroup: this one dies alone
  uint32_t bytes_sent;   // accepted from the victim by its kernel
  int64_t scheduled_ns;  // relative to the start of the schedule
  int64_t issued_ns;     // t0: immediately before the act; 0 until then
};

// The survivor's end. Instants are CLOCK_MONOTONIC of the survivor's host.
struct SurvivorEnd {
  FourTuple tuple;
  uint32_t pair;
  int32_t descriptor;
  uint16_t row;
  uint8_t flags;  // EndFlag
  Finding finding;
  int16_t error_number;  // what told the finding; 0 for none
  Evidence evidence;
  uint8_t open_error;  // as the victim's
  uint32_t bytes_received;
  uint32_t response_left;  // bytes of the answer to the last request that are still to come
  int64_t found_ns;        // 0: nothing yet
  int64_t written_ns;      // before the first write of a survivor that is told of the act
  // From when the row's prediction counts (PlanRow::since): of heartbeats the last byte that came;
  // of requests the one that is not answered yet, or 0; else noted with the finding.
  int64_t silent_since_ns;
  int64_t longest_silence_ns;  // between two bytes of a peer that heartbeats watch
};

// One cell of mix x watch x probe x write path.
struct PlanRow {
  uint16_t strategy;  // index into strategies()
  Watch watch;
  Probe probe;
  WritePath write_path = WritePath::none;
  Since since = Since::heard;  // of its prediction
};

// What a writing survivor did and what its kernel says of it; only the survivor's process writes
// it. Counts are of writes unless a name says otherwise.
struct WriteRecord {
  uint32_t victim;     // slot of the other end
  bool finished;       // nothing more to learn: it writes no more
  bool killed;         // a write of it killed the process that made it (SigpipeMode::kill)
  bool fin_seen;       // when the write in flight began, the FIN or RST had arrived
  bool overdue;        // its instant passed while the write before it was in flight
  bool has_tail;       // `acked_bytes` and `unacked_bytes` were read
  uint8_t in_flight;   // requests
  uint32_t attempted;  // = accepted + errors + would_block + cancelled
  uint32_t accepted;   // whole or short
  uint32_t short_writes;
  uint32_t errors;  // EPIPE included
  uint32_t epipes;
  uint32_t would_block;  // EAGAIN: the send queue was full
  uint32_t cancelled;    // linked to one that failed, or still in flight when the ledger was closed
  uint32_t accepted_after_act, accepted_after_fin;
  uint32_t sigpipes;
  uint32_t sigpipes_of_short;  // of them: by calls that returned a short count (in_pieces)
  int16_t first_error, second_error;
  int64_t first_error_ns, second_error_ns;
  int64_t due_ns;    // the next write
  int64_t begun_ns;  // the write in flight
  uint64_t accepted_bytes, accepted_after_act_bytes;
  // The kernel's own account, when the ledger is closed: TCP_INFO's tcpi_bytes_acked without the
  // SYN, and SIOCOUTQ. It keeps both after an RST (tcp_reset purges the queue, not the numbers).
  uint64_t acked_bytes;
  uint32_t unacked_bytes;
  uint8_t tail_state;  // TCP_INFO's tcpi_state with them
};

// What the victim of a writing survivor read; only its process writes it.
struct ReadRecord {
  uint64_t delivered_bytes;  // that its reads returned
  // Its kernel's account just before the act, or at the end where the socket outlives that:
  // TCP_INFO's tcpi_bytes_received, and SIOCINQ.
  uint64_t received_bytes;
  uint32_t unread_bytes;
  bool told;  // the two above were read; a killed process, a backlog and a ring's table cannot
};

// What both workers of a shard must know. Plain data: it lies in shared memory.
struct ShardSettings {
  uint32_t connections;  // of this shard
  uint32_t row_count;
  Engine engine;  // of every row's watch: a survivors' process runs exactly one
  Family family;
  Traffic traffic;            // of the mix's connections of this shard
  Traffic neighbour_traffic;  // of its neighbours
  bool victims_send;          // the victims fill the survivors' windows
  bool has_neighbours;        // then those who stay alive are the neighbours
  VictimSettings victims;
  bool in_backlog;        // nobody accepts: the victims' ends stay in the listeners' backlogs
  uint32_t network;       // number of the veth pair, where victims have a namespace of their own
  uint32_t listen_host;   // where the listeners are; 0: loopback
  uint32_t connect_from;  // source address of connects; 0: any
  bool spin;              // survivors spin instead of sleeping
  int64_t reap_delay_ns;  // a known slowdown
  int64_t reap_instructions;
  int64_t patience_ns;  // how long one step may take (plan/patience.h)
  bool victim_spins;    // the victim's thread has a CPU of its own to wait for instants on
  RingMode ring;
  uint32_t most_completions;  // of a worker's ring
  int32_t victim_cpu;         // -1: anywhere
  int32_t survivor_cpu;
  uint32_t stamps_per_message;  // a storm's acts are told in batches, a rate's one by one
  int64_t payload_bytes;
  ProbeSettings probe_settings;
  bool writers;            // the survivors' engine is the writer: the table has their records
  bool survivors_connect;  // a connecting end's bytes_acked counts the SYN
  WriteSettings writing;
  uint64_t write_seed;
};

// Counted by workers while they run, read by the coordinator at any time.
struct ShardProgress {
  std::atomic<uint64_t> accepted, connected, injected, failed_acts, found, round_trips,
      completion_overflows;
  std::atomic<int32_t> accept_error;  // errno of the accept that ended accepting
  std::atomic<uint64_t> victim_ring_bytes, survivor_ring_bytes;
  std::atomic<uint64_t> victim_ring_enters, survivor_ring_enters;  // io_uring_enter(2)
  // Writers: SIGPIPEs that their thread got, those of them that no write was blamed for, who may
  // still learn something, the slot whose write is being made, and how far the writes fell behind.
  std::atomic<uint64_t> sigpipes, sigpipes_unblamed;
  std::atomic<int64_t> unfinished;
  std::atomic<uint32_t> writing_slot;
  std::atomic<int64_t> write_lag_ns;
  // errno of the first look at a survivor's socket that the kernel refused (TCP_INFO, SO_ERROR):
  // without it the ledger would state what nobody saw.
  std::atomic<int32_t> look_error;
  std::atomic<int32_t> victim_pin_error, survivor_pin_error;  // errno; 0: pinned, or not asked to
  // Of the last ring of each: IORING_SETUP_* and the entries of its completion queue.
  std::atomic<uint32_t> victim_ring_flags, survivor_ring_flags;
  std::atomic<uint32_t> victim_ring_completions, survivor_ring_completions;
};

// Why a process gave up that writes for a survivors' process and is its child (--sigpipe default).
struct ChildError {
  int32_t error_number;
  char operation[48], where[80];
};

struct ShardHeader {
  ShardSettings settings;
  ShardProgress progress;
  ChildError child_error;
  PlanRow rows[kMostRows];
  // As they are: of any of the victims, and of one of each row's survivors.
  SocketFacts victim_socket;
  SocketFacts survivor_sockets[kMostRows];
};

// The shard's shared memory: the header, the victims' ends, the survivors' ends, and with writers
// the records of their writes and of what victims read.
struct ShardView {
  ShardHeader* header;
  std::span<VictimEnd> victims;
  std::span<SurvivorEnd> survivors;
  std::span<WriteRecord> writes;  // by the survivor's slot; empty without writers
  std::span<ReadRecord> reads;    // by the victim's slot; empty without writers

  const PlanRow& row_of(const VictimEnd& end) const { return row_at(end.row, end.pair); }
  const PlanRow& row_of(const SurvivorEnd& end) const { return row_at(end.row, end.pair); }
  const PlanRow& row_at(size_t row, uint32_t pair) const {
    LASTACK_ASSERT(row < kMostRows, row, pair);
    return header->rows[row];
  }
};

inline const Strategy& strategy_of(const PlanRow& row) {
  LASTACK_ASSERT(row.strategy < strategies().size(), row.strategy);
  return strategies()[row.strategy];
}
inline const Strategy& strategy_of(const ShardView& shard, const VictimEnd& end) {
  return strategy_of(shard.row_of(end));
}
inline const Strategy& strategy_of(const ShardView& shard, const SurvivorEnd& end) {
  return strategy_of(shard.row_of(end));
}
// The traffic of this row's connections.
inline const Traffic& traffic_of(const ShardSettings& settings, const PlanRow& row) {
  const bool neighbour = settings.has_neighbours && stays_alive(strategy_of(row));
  return neighbour ? settings.neighbour_traffic : settings.traffic;
}
inline bool sends_heartbeats(const PlanRow& row) {
  return probe_row(row.probe).heartbeat != Heartbeat::none;
}
inline bool has_traffic(const ShardSettings& settings) {
  return settings.traffic.load != Load::idle || settings.neighbour_traffic.load != Load::idle;
}
inline bool survivor_is_told(const PlanRow& row) {
  return survivor_is_told(strategy_of(row), row.watch);
}

// Completions of a worker's ring: every request of every connection at once, and some, as far as
// there is memory to lock.
inline unsigned ring_completions(size_t connections, unsigned requests_each, unsigned most) {
  return std::min(std::max(static_cast<unsigned>(connections) * requests_each + 64, 512u), most);
}

// Whether victims of this shard have something to read and to answer.
inline bool victims_answer(const ShardView& shard) {
  const ShardSettings& settings = shard.header->settings;
  const auto rows = std::span(shard.header->rows, settings.row_count);
  return !settings.victims.reader_stopped &&
         (has_traffic(settings) || std::any_of(rows.begin(), rows.end(), sends_heartbeats));
}

static_assert(sizeof(VictimEnd) + sizeof(SurvivorEnd) <= 160,
              "256 bytes a connection must also pay for rings and processes");

}  // namespace lastack
