#include "report/schema.h"

#include <fmt/format.h>

#include <string_view>

#include "base/table.h"
#include "compare/compare_text.h"
#include "report/cost_text.h"
#include "report/csv.h"
#include "report/suite_folder.h"
#include "suite/frontier.h"

namespace lastack {

std::vector<CsvSchema> csv_schemas() {
  std::vector<CsvSchema> schemas;
  for (const CsvFile& file : csv_files()) schemas.push_back({file.name, file.help, file.columns});
  schemas.push_back(cost_csv_schema());
  schemas.push_back(suite_summary_csv_schema());
  schemas.push_back(suite_latency_csv_schema());
  schemas.push_back(suite_timeline_csv_schema());
  schemas.push_back(suite::frontier_csv_schema());
  schemas.push_back(compare::compare_csv_schema());
  return schemas;
}

constexpr std::string_view kRegressionsHelp = R"(
## regressions.json

Of `lastack suite regressions`: which faults of past kernels this one has.

| key | what it holds |
|---|---|
| schema_version, environment, status, exit_code, wall_ns | as in manifest.json |
| suite | `regressions` |
| kernel | its release, the version of Linux that it is, where that stands (source), and whether a vendor may have changed it (may_differ) |
| expected_of | the version whose faults are expected |
| rows | per fault its name, what broke, title and commit of the change that mended it, fixed_in (versions: the last one and all later series), cause and broken_since where it is not older than 6.1, not_shown_red (why nobody has seen the row fail, else null), expected and observed (`broken`, `sound`; null where it was not played, with the error), ok, duration_ns, and ways: per way the connections, how many were broken, and how often what was seen |
)";

std::string schema_markdown() {
  std::string text = fmt::format(R"(# Results

Reference runs, one folder a run, and the schema (version {}) of what `lastack run --out DIR`,
`lastack cost --out DIR` and `lastack suite NAME --out DIR` write. This page is made by `lastack list --format schema`; a test keeps it so.

All times are whole nanoseconds; in a machine of the kernel lab that counts instructions (`environment.lab.time_unit` is `virtual_ns`) every column and key with _ns, and whatever is per second, is in virtual time. Counts are connections unless a name says otherwise.

## run.json

| key | what it holds |
|---|---|
| schema_version | {} |
| status, exit_code | how the run ended: {} |
| error | what went wrong before there was a ledger, else null |
| spec | every effective option, by its flag's name; giving them again repeats the run |
| notes | what lastack changed in the plan, and why |
| environment | the host: kernel, the machine of the kernel lab where it is one (`lab`: accelerator, time_unit: ns, or virtual_ns where an instruction is one, and does_not_show: what such times leave out, else empty), CPU, mitigations, sysctls, limits, build, threads. Where a run asks for something, what it got: `tcp.congestion_control` and `tcp.sockets` are read from sockets of the run (the sysctl of that name is only the default of the namespace), their timers too; `limits.of_run` are the launcher's, the others the program's; `io_uring.rings` is what the kernel set up; `threads` has the CPU that a worker is pinned to (null where it is not), all CPUs that it may use, its policy and niceness as the scheduler says |
| ledger | one object per strategy x watch x probe x write path: the columns of summary.csv up to `skipped`, `findings` as an object, and the latencies `latency_ns` (since t0), `scheduled_latency_ns` (since the scheduled instant), `written_latency_ns` (since the survivor's write), each with count, min, p50, p90, p99, p999, max, mean; null without a finding; percentiles are exact of 1,024 findings at most, and at most 1.6 % too large of more; `modes`, p50 and share of both, where there are two (mode_1_p50_ns of summary.csv says when); `write_path` and `writes`, null but for `--watch writer`: the columns of summary.csv from writes_attempted on, and the histograms of writes.csv as [writes, connections]; `not_established` with `not_established_errors` as an object, and `not_torn_down` |
| unexpected | the first 100 connections that ended otherwise than expected |
| reconciliation | `balanced`, `exclusive`, `backlog_drops` (packets that the host's CPUs dropped at full backlogs meanwhile; null: not known), `checks` (counter, phase, kind, expected: a number or min and max, observed, ok) and the kernel's counters before, armed, closed and cleaned |
| cost | between armed watch and closed ledger: CPU of the workers, in all and of `victims` and `survivors` apart, with voluntary context switches (null where they spin) and calls of io_uring_enter(2); softirq CPU of the host (null where the kernel does not tell it apart: without CONFIG_IRQ_TIME_ACCOUNTING) and all that its CPUs did; `traffic` of the run's namespaces: TCP segments, IP bytes, and what interfaces sent; memory of all processes (anonymous, shared and rings, as PSS), growth of the kernel's slab and of TCP's queues |
| rates | requested and achieved injections and round trips a second, and span_ns from the first t0 to the last finding |
| writers | SIGPIPEs by the thread that got them (one makes all writes of a shard), SIGPIPEs that no write explains (must be 0), and by how much the most delayed write missed its instant |
| phases | name, start_ns, duration_ns |
| host | how the host served the run: load average and other running tasks before it (`busy_before`: they took half of the CPUs or more), CPU frequencies where they can be read; while the watch was armed: the CPU quota of its cgroup and for how long that stopped it (summed over CPUs), CPU time that the hypervisor gave to others, for how long workers were ready and had no CPU; `stalls`: the launcher was stopped, and with it most likely all of the run, or a worker was stopped or waited for a CPU, for at least `least_ns`; the first 100, since the start of the schedule. A ledger row's `stalled` counts the connections that were waiting for their finding meanwhile, `false_alarms_in_stalls` the live peers declared dead |

## cost.json

| key | what it holds |
|---|---|
| schema_version, status, exit_code, error, spec, notes, environment | as in run.json; the spec is of every run but for its watch and probe, the environment of the first run |
| rounds, window_ns | how many were completed, and how long each run was watched |
| watches | per watch the probes, `none` first, each with `skipped` (why it did not run, else null), `prices` (what cost.csv holds; not of `none`) and `samples`: per round the connections, wall_ns and every quantity, per connection and, where its unit says so, second; null where it is not to be had |

## manifest.json

Of `lastack suite`, beside a folder per row (NN-name) and run (rep-1 ..., warm-up) with the files of that run.

| key | what it holds |
|---|---|
| schema_version, environment | as in run.json; of the first run |
| suite, quick, repetitions, seed | which one, and with which options; repetitions is 0 where each row says how often it is played |
| status, exit_code | the worst of its runs |
| estimated_ns, wall_ns | said before the first run, and taken by all runs |
| notes | what to bear in mind when comparing |
| rows | per row its name, the command that repeats one run, its repetitions, and whether there is a warm-up, which no comparison counts |
| runs | in the order in which they were played: the row's name, folder, repetition (0: the warm-up), warm_up, order, command, status, exit_code, error, estimated_ns, wall_ns, the sysctls of its namespace, and how long it stood still and was throttled (`host` of run.json); null what an interruption left out |
| frontier | what frontier.csv holds, in short |
| safe_heartbeat_deadlines | per watch, probe and load state the smallest heartbeat deadline that raised no false alarm, and no longer one did; null where even the longest did |
)",
                                 kSchemaVersion, kSchemaVersion, [] {
                                   std::string names;
                                   for (const RunStatusRow& row : run_statuses())
                                     names += fmt::format("{}{} ({})", names.empty() ? "" : ", ",
                                                          row.name, row.exit_code);
                                   return names;
                                 }());
  text += kRegressionsHelp;
  for (const CsvSchema& file : csv_schemas()) {
    Table columns({"column", "meaning"}, 2);
    for (const auto& [name, help] : file.columns)
      columns.add({std::string(name), std::string(help)});
    text += fmt::format("\n## {}\n\n{}.\n\n{}", file.name, file.help, columns.markdown());
  }
  return text;
}

}  // namespace lastack
