// What the experiments of `lastack verify` are played with: connections on a private path, child
// processes that may die, and the record of what was seen. A stage belongs to one single-threaded
// process; its default network namespace is the survivor's.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "model/run_status.h"
#include "net/network.h"
#include "net/socket.h"
#include "ring/ring.h"
#include "verify/claims.h"

namespace lastack::verify {

// How often each value of one observation was seen.
struct Sight {
  std::string what;
  std::map<std::string, int64_t> values;
};

// One way to provoke a row's case: left to timing, or forced.
struct Way {
  std::string name;
  bool forced = true;
  int64_t connections = 0;
  Outcomes outcomes;
  int64_t bytes_sent = 0, bytes_received = 0;
  std::vector<Sight> sights;

  void see(std::string_view what, const std::string& value, int64_t times = 1);
  // Closes one connection's books. Without a condition, the row has none.
  void conclude(bool as_claimed, std::optional<bool> condition = std::nullopt);
};

// What a row's process hands back.
struct Record {
  std::vector<Way> ways;
  std::vector<std::pair<std::string, std::string>> notes;  // of the row as a whole
  std::string error;                                       // why it was not played to its end
  bool died = false;  // because a process ended that nobody had told to
};
Result<Record> deserialize_record(const std::string& text);

// Of rows that were judged: one that was not played comes before one that differs.
template <class Row>
RunStatus status_of(const std::vector<Row>& rows) {
  RunStatus status = RunStatus::ok;
  for (const Row& row : rows) {
    if (row.record.died) return RunStatus::failed;
    if (!row.played()) status = RunStatus::no_resources;
    if (row.played() && !row.ok()) status = std::min(status, RunStatus::unmet_expectation);
  }
  return status;
}

struct Pair {
  Fd victim, survivor;
};

enum class End : uint8_t { survivor, victim };

// What a child process that may die leaves in shared memory.
struct ChildRecord {
  int64_t sent = 0;         // bytes that send() accepted
  int64_t undelivered = 0;  // of them, those unacknowledged when it stopped sending
  int32_t stage = 0;        // what it has reached; its parent waits for it
  int32_t accepted = 0;     // its parent has the other end
  int32_t error = 0;        // errno of a call that must not fail
  char failed[80] = {};     // its message
  char read[16] = {};       // the server's bytes land here, by recv() itself
};

struct Stage {
  bool veth = false;
  size_t connections = 100;
  Network network;  // of veth; the survivor's side is where the row's process lives
  uint32_t survivor_host = INADDR_LOOPBACK, victim_host = INADDR_LOOPBACK;
  std::optional<Ring> ring;
  Record record;

  Way& begin(std::string_view name, bool forced = true);
  void note(std::string_view name, std::string value);
};

// tcp_retries2 where silence is awaited: a connection whose peer is silent ends in seconds.
// Elsewhere it is the kernel's default: on a busy host an ACK may be later than that.
constexpr int kScaledRetries = 2, kDefaultRetries = 15;
// How long connections go on trying: tcp_retries2, and tcp_orphan_retries for those of dead
// processes, where 0 is the kernel's default of 8.
struct Retries {
  int established = kDefaultRetries;
  int orphans = 1;
};
// New namespaces and a path, inside the launcher's user namespace. `report` is where the record
// goes.
Status set_stage(Stage& stage, const Retries& retries, int report);
// The victim's machine disappears behind the path, with or without an answer from a router (veth).
Status cut_cable(Stage& stage, bool answer_unreachable);

// Writes the record for the launcher; returns the exit code of the row's process.
int hand_back(int descriptor, const Record& record);

// The following calls are made for their effect and cannot fail on a working host. When one does,
// the row is over: its process hands back a record with the error and ends.
[[noreturn]] void fail_stage(const Error& error);
void require(Status status);

template <class T>
T require(Result<T> result) {
  if (!result) fail_stage(result.error());
  return std::move(*result);
}

Fd listen_at(Stage& stage, End side);
// `connecting` is the end that calls connect(), from its usual address or from these in turn.
std::vector<Pair> connect_pairs(Stage& stage, End connecting,
                                const std::vector<uint32_t>& sources = {});
// Gives the survivor more addresses (veth).
std::vector<uint32_t> add_survivor_hosts(size_t count);

// A process per connection: its end connects to a listener of the parent and lives by `life`.
struct Process {
  pid_t pid = -1;
  Fd peer;  // the parent's end
  ChildRecord* child_record = nullptr;
  std::optional<int> ended = {};  // its wait status, once it was reaped
};
using Life = std::function<void(int socket, ChildRecord& child_record)>;
std::vector<Process> start_processes(Stage& stage, End side, const Life& life);
// In the child: what it has reached, or that it failed.
void reach(ChildRecord& child_record, int stage);
void await_stage(Process& process, int stage);
// Both fail the stage when the process had ended in another way before.
void kill_process(Process& process);
void await_exit(Process& process);

// Sums over both ends: TCP's segments and RSTs since the start of the namespaces.
std::map<std::string, int64_t> count_packets(Stage& stage);
std::map<std::string, int64_t> count_packets_of(Stage& stage, End side);
// "1" when `count` is once per connection, "1 to 2" when it is not a whole number of times.
std::string per_connection(int64_t count, size_t connections);

// Notes the RSTs that left either end since `before`, a count_resets() of earlier.
int64_t count_resets(Stage& stage);
void see_resets(Stage& stage, Way& way, int64_t before);

// SIGPIPEs that this process has got.
int sigpipes();

}  // namespace lastack::verify
