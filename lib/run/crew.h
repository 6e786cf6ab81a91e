// The workers of a run, two to a shard: how they are started, led by messages, heard and ended.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/process.h"
#include "base/waited.h"
#include "ledger/stalls.h"
#include "net/network.h"
#include "plan/plan.h"
#include "plan/spec.h"
#include "shard/control.h"
#include "shard/table.h"

namespace lastack {

struct Worker {
  Role role;  // with the number of its shard
  int cpu;    // -1: not pinned
  pid_t pid;
  Channel channel;
  std::optional<Message> answer = {};  // the last one that was not a stamp
  bool gone = false;                   // it has ended and was reaped
  bool has_said(Verb verb) const { return answer && answer->verb == verb; }
};

enum class Part : size_t { victim, survivor };  // in the order of Shard::workers
// Whom an entry of Plan::placements is for.
constexpr Part part_of(size_t placement) { return static_cast<Part>(placement % 2); }

struct Shard {
  ShardTable table;
  size_t group;                       // index into the plan's
  size_t network;                     // index into the run's
  std::vector<Worker> workers;        // one of each part
  std::vector<uint32_t> acceptor_of;  // acceptor's slot by connector's slot; kNoPair if none
  std::vector<uint32_t> survivor_of;  // survivor's slot by victim's slot, where stamps need it
  Worker& worker(Part part) { return workers[static_cast<size_t>(part)]; }
  Worker& victim() { return worker(Part::victim); }
  Worker& survivor() { return worker(Part::survivor); }
  ShardProgress& progress() const { return table.view().header->progress; }
};

struct Crew {
  Channel& program;  // that asked for the run: takes progress and may bring a halt
  int64_t step_patience_ns, halt_patience_ns;
  StallWatch stalls;
  std::vector<Shard> shards = {};
  std::vector<pid_t> hogs = {};
  std::string phase = {};  // for errors
  bool acting = false;     // before, a halt ends the run at once: there is nothing to keep
  bool halted = false;
  Waited since_halt = {};
  int64_t last_report_ns = 0;
};

// ---- Starting and ending ----------------------------------------------------------------------

// Shard `index` of the plan, whose network is `number` in the run's.
Status start_shard(Crew& crew, const RunSpec& spec, const Plan& plan, size_t index, size_t number,
                   const Network& network);
// Burns CPU beside them (--cpu-hog). One that has ended before did not do what the run says of it.
Status start_hogs(Crew& crew, int64_t count);
Status end_hogs(Crew& crew);
// By SIGKILL: that is how a host goes down.
Status kill_worker(Crew& crew, Worker& worker);
// One that does not listen any more, or not soon enough, is killed by its pid. The Error is the
// first one's that could not be ended, or ended otherwise than told.
Status end_workers(Crew& crew);

// ---- Leading ----------------------------------------------------------------------------------

Status send(Crew& crew, Worker& worker, const Message& message);
// Forgets the worker's last answer, too.
Status send(Crew& crew, Worker& worker, Verb verb, int64_t value = 0);
// Handles what the workers say until the instant, at the latest; notices dead workers and a halt.
Status pump(Crew& crew, int64_t until_ns);
// Until all of them have given this answer; `meanwhile` is called between looks.
Status await(Crew& crew, const std::vector<Worker*>& workers, Verb answer,
             const std::function<void()>& meanwhile = {});
// Sends to every worker of one part, then waits for all answers.
Status ask_all(Crew& crew, Part part, Verb question, Verb answer,
               const std::function<void()>& meanwhile = {});
// Whether a step has taken too long, be it that everybody waits for the end of the run.
bool is_over(Crew& crew, Waited& step);
Error no_answer_of(const Crew& crew, const std::vector<Worker*>& workers, Verb answer);

// A figure of the shards' progress, summed.
template <class Figure>
int64_t sum_of(const Crew& crew, Figure ShardProgress::*figure) {
  int64_t sum = 0;
  for (const Shard& shard : crew.shards)
    sum += static_cast<int64_t>((shard.progress().*figure).load());
  return sum;
}

// ---- To the program ---------------------------------------------------------------------------

// At most every 100 ms, and when all is done.
void report(Crew& crew, std::string_view phase, int64_t done, int64_t total);
// For whoever waits for a word of the launcher, in what may take longer than a second.
void give_sign_of_life(Crew& crew);

}  // namespace lastack
