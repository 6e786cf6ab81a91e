#include "report/environment.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/affinity.h"
#include "base/cgroup.h"
#include "base/file.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "base/proc.h"
#include "base/sanitizers.h"
#include "base/time_unit.h"
#include "ring/ring.h"

// Written at every build; without it the commit is unknown.
#if __has_include("lastack_commit.h")
#include "lastack_commit.h"
#endif

// The build defines these; the fall-backs keep the file compilable alone.
#ifndef LASTACK_VERSION
#define LASTACK_VERSION "unknown"
#endif
#ifndef LASTACK_COMMIT
#define LASTACK_COMMIT "unknown"
#endif
#ifndef LASTACK_COMPILER
#define LASTACK_COMPILER "unknown"
#endif
#ifndef LASTACK_BUILD_TYPE
#define LASTACK_BUILD_TYPE "unknown"
#endif

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

// --- Text to facts: what is empty or does not parse is null.

// Sysctls separate their numbers by tabs; one blank reads and compares better.
Json text_fact(std::string_view content) {
  std::string text(trimmed(content));
  if (text.empty()) return nullptr;
  std::replace(text.begin(), text.end(), '\t', ' ');
  return text;
}

// The number at the front; what follows is a unit or the end of the line.
template <class Number>
Json leading_number(std::string_view content) {
  const std::string_view text = trimmed(content);
  Number value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{}) return nullptr;
  return value;
}

Json number_fact(std::string_view content) { return leading_number<int64_t>(content); }

Json flag_fact(std::string_view content) {
  const std::string_view text = trimmed(content);
  if (text != "0" && text != "1") return nullptr;
  return text == "1";
}

// A fact that is the content of one file.
struct FileRow {
  const char* key;
  const char* path;
  Json (*fact)(std::string_view);
};

constexpr FileRow kCpuFiles[] = {
    {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text_fact},
    {"smt", "/sys/devices/system/cpu/smt/active", flag_fact},
};
constexpr FileRow kMemoryFiles[] = {
    {"huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled", text_fact}};
constexpr FileRow kClockFiles[] = {
    {"current", "/sys/devices/system/clocksource/clocksource0/current_clocksource", text_fact},
    {"available", "/sys/devices/system/clocksource/clocksource0/available_clocksource", text_fact},
};
// tcp_mem and tcp_max_orphans are one for the host and are not to be seen in another network
// namespace than the first (ipv4_table in net/ipv4/sysctl_net_ipv4.c): null in a container.
constexpr FileRow kLimitFiles[] = {
    {"file_max", "/proc/sys/fs/file-max", number_fact},
    {"nr_open", "/proc/sys/fs/nr_open", number_fact},
    {"max_user_namespaces", "/proc/sys/user/max_user_namespaces", number_fact},
    {"somaxconn", "/proc/sys/net/core/somaxconn", number_fact},
    {"tcp_mem_pages", "/proc/sys/net/ipv4/tcp_mem", text_fact},
    {"tcp_max_orphans", "/proc/sys/net/ipv4/tcp_max_orphans", number_fact},
};
// 0: for all, 1: for io_uring_group only, 2: for nobody; since Linux 6.6 (sysctl/kernel.rst).
constexpr FileRow kRingFiles[] = {
    {"disabled_sysctl", "/proc/sys/kernel/io_uring_disabled", number_fact}};

// Files that more than one fact is taken from, or not the whole.
constexpr char kCommandLine[] = "/proc/cmdline", kPreempt[] = "/sys/kernel/debug/sched/preempt",
               kCpuInfo[] = "/proc/cpuinfo", kMemoryInfo[] = "/proc/meminfo",
               kHypervisor[] = "/sys/hypervisor/type", kMaker[] = "/sys/class/dmi/id/sys_vendor",
               kProduct[] = "/sys/class/dmi/id/product_name", kOwnStatus[] = "/proc/self/status",
               kFirstCgroup[] = "/proc/1/cgroup";
constexpr const char* kOtherFiles[] = {kCommandLine, kPreempt, kCpuInfo,   kMemoryInfo, kHypervisor,
                                       kMaker,       kProduct, kOwnStatus, kFirstCgroup};
constexpr const char* kMarkers[] = {"/.dockerenv", "/run/.containerenv"};  // Docker, Podman

// "" where it could not be read.
std::string_view text_of(const EnvironmentFacts& facts, std::string_view path) {
  const auto found = facts.files.find(path);
  return found == facts.files.end() ? std::string_view() : found->second;
}

std::string_view line_of(const EnvironmentFacts& facts, std::string_view path) {
  const std::string_view text = text_of(facts, path);
  return text.substr(0, text.find('\n'));
}

Json facts_in(std::span<const FileRow> rows, const EnvironmentFacts& facts) {
  Json found = Json::object();
  for (const FileRow& row : rows) found[row.key] = row.fact(text_of(facts, row.path));
  return found;
}

// --- One function for each part of the manifest.

Json describe_time(const EnvironmentFacts& facts, const RunResult&) {
  std::tm utc{};
  if (gmtime_r(&facts.now_s, &utc) == nullptr) return nullptr;
  char text[sizeof "2000-01-01T00:00:00Z" + 8];
  return text_fact({text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)});
}

Json describe_host(const EnvironmentFacts& facts, const RunResult&) {
  return text_fact(facts.kernel.nodename);
}

Json describe_privileged(const EnvironmentFacts& facts, const RunResult&) {
  return facts.privileged;
}

std::string_view kernel_parameters(const EnvironmentFacts& facts) {
  return lastack::kernel_parameters(text_of(facts, kCommandLine));
}

// No single place names the model to an ordinary user: with PREEMPT_DYNAMIC, uname says only
// that it was chosen at boot, by the parameter or else the configuration (preempt_dynamic_init()
// in kernel/sched/core.c), and only root may read debugfs, which says what it is now.
Json describe_preemption(const EnvironmentFacts& facts) {
  constexpr const char* kOptions[] = {"CONFIG_PREEMPT_NONE", "CONFIG_PREEMPT_VOLUNTARY",
                                      "CONFIG_PREEMPT",      "CONFIG_PREEMPT_LAZY",
                                      "CONFIG_PREEMPT_RT",   "CONFIG_PREEMPT_DYNAMIC"};
  Json chosen;
  if (!facts.config.text.empty()) {
    chosen = Json::array();
    for (const char* option : kOptions)
      if (is_set(facts.config, option)) chosen.push_back(option);
  }
  return {
      {"version_flag", text_fact(word_with_prefix(facts.kernel.version, "PREEMPT"))},
      {"boot_parameter", text_fact(word_with_prefix(kernel_parameters(facts), "preempt="))},
      {"config", chosen},
      {"debugfs", text_fact(text_of(facts, kPreempt))},
  };
}

// sysfs-devices-system-cpu: one file a vulnerability. Entering the kernel is what they slow down.
Json describe_mitigations(const EnvironmentFacts& facts) {
  Json mitigations;
  for (const auto& [name, state] : facts.mitigations) mitigations[name] = text_fact(state);
  return mitigations;
}

Json describe_kernel(const EnvironmentFacts& facts, const RunResult&) {
  const utsname& name = facts.kernel;
  return {
      {"release", text_fact(name.release)},
      {"version", text_fact(name.version)},
      {"machine", text_fact(name.machine)},
      {"config_file", text_fact(facts.config.path)},
      {"hz", number_fact(value_of(facts.config.text, "CONFIG_HZ", '='))},
      {"preemption", describe_preemption(facts)},
      {"mitigations", describe_mitigations(facts)},
      {"command_line", text_fact(kernel_parameters(facts))},
  };
}

// Of a machine that the kernel lab booted (scripts/kernel_lab.py): it writes both words, which no
// kernel knows or complains of, on the kernel's command line. "none" and "ns" elsewhere.
Json describe_lab(const EnvironmentFacts& facts, const RunResult&) {
  const std::string_view line = kernel_parameters(facts);
  if (line.empty())
    return {{"accelerator", nullptr}, {"time_unit", nullptr}, {"does_not_show", nullptr}};
  constexpr std::string_view kAccelerator = "lastack.accelerator=";
  const std::string_view word = word_with_prefix(line, kAccelerator);
  const TimeUnit unit = time_unit_in(line);
  return {{"accelerator", word.empty() ? "none" : word.substr(kAccelerator.size())},
          {"time_unit", time_unit_name(unit)},
          {"does_not_show", hidden_in(unit)}};
}

Json describe_affinity(const EnvironmentFacts& facts) {
  const auto& cpus = facts.usable_cpus;
  if (!cpus) return {{"usable_count", nullptr}, {"usable_list", nullptr}};
  return {{"usable_count", cpus->size()}, {"usable_list", cpu_list(*cpus)}};
}

Json describe_hypervisor(const EnvironmentFacts& facts) {
  const std::string_view flags = value_of(text_of(facts, kCpuInfo), "flags");
  Json present, signature, name;
  if (!flags.empty()) {
    const auto words = split(flags, ' ');
    present = std::find(words.begin(), words.end(), "hypervisor") != words.end();
  }
  name = text_fact(text_of(facts, kHypervisor));
  if (present == true) {
    signature = text_fact(facts.hypervisor_signature);
    // Without a hypervisor, DMI would name the maker of the machine.
    if (name.is_null())
      name = text_fact(fmt::format("{} {}", line_of(facts, kMaker), line_of(facts, kProduct)));
  }
  return {{"present", present}, {"signature", signature}, {"name", name}};
}

Json describe_cpu(const EnvironmentFacts& facts, const RunResult&) {
  const std::string_view info = text_of(facts, kCpuInfo);
  Json cpu = {
      {"model", text_fact(value_of(info, "model name"))},
      {"vendor", text_fact(value_of(info, "vendor_id"))},
      {"online_count", facts.online_cpus > 0 ? Json(facts.online_cpus) : Json()},
  };
  cpu.update(describe_affinity(facts));
  cpu.update(facts_in(kCpuFiles, facts));
  // Of CPU 0, at this moment.
  cpu["frequency_mhz"] = leading_number<double>(value_of(info, "cpu MHz"));
  // A number of CPUs, or "none"; null where no cgroup tells.
  if (facts.quotas.tightest)
    cpu["quota_cpus"] = facts.quotas.tightest->cpus;
  else
    cpu["quota_cpus"] = facts.quotas.known ? Json("none") : Json();
  cpu["hypervisor"] = describe_hypervisor(facts);
  return cpu;
}

Json describe_memory(const EnvironmentFacts& facts, const RunResult&) {
  struct Row {
    const char* key;
    const char* field;
  };
  constexpr Row kRows[] = {{"total_bytes", "MemTotal"},
                           {"available_bytes", "MemAvailable"},
                           {"swap_total_bytes", "SwapTotal"}};
  const std::string_view info = text_of(facts, kMemoryInfo);
  Json memory;
  for (const Row& row : kRows) {
    const auto bytes = bytes_of(info, row.field);
    memory[row.key] = bytes ? Json(*bytes) : Json();
  }
  memory.update(facts_in(kMemoryFiles, facts));
  return memory;
}

Json describe_clock_source(const EnvironmentFacts& facts, const RunResult&) {
  return facts_in(kClockFiles, facts);
}

Json describe_tcp(const EnvironmentFacts&, const RunResult& result) {
  Json sysctls;
  for (const auto& [name, value] : result.sysctls) sysctls[name] = text_fact(value);
  Json sockets = Json::array();
  for (const SocketReport& report : result.sockets) {
    const SocketFacts& socket = report.facts;
    const bool keepalive = socket.keepalive != 0;
    const auto of_keepalive = [&](int32_t value) { return keepalive ? Json(value) : Json(); };
    sockets.push_back(
        {{"role", text_fact(report.role)},
         {"probe", text_fact(report.probe)},
         {"congestion_control", text_fact(socket.congestion_control)},
         {"send_buffer_bytes", socket.send_buffer_bytes},
         {"receive_buffer_bytes", socket.receive_buffer_bytes},
         {"keepalive", keepalive},
         {"keepalive_idle_s", of_keepalive(socket.keepalive_idle_s)},
         {"keepalive_interval_s", of_keepalive(socket.keepalive_interval_s)},
         {"keepalive_count", of_keepalive(socket.keepalive_count)},
         {"user_timeout_ms", socket.user_timeout_ms ? Json(socket.user_timeout_ms) : Json()}});
  }
  return {{"congestion_control", text_fact(result.congestion_control)},
          {"sysctls", sysctls},
          {"sockets", sockets}};
}

Json describe_run_limits(const RunResult& result) {
  const auto side = [](int64_t limit) { return limit < 0 ? Json("unlimited") : Json(limit); };
  Json limits = Json::object();
  for (const Limit& limit : result.limits) {
    limits[limit.name + "_soft"] = side(limit.soft);
    limits[limit.name + "_hard"] = side(limit.hard);
  }
  return limits;
}

// "unlimited" is a value that getrlimit(2) gives, and null would say that it is not known.
Json limit_fact(std::optional<rlim_t> limit) {
  if (!limit) return nullptr;
  if (*limit == RLIM_INFINITY) return "unlimited";
  return *limit;
}

Json describe_limits(const EnvironmentFacts& facts, const RunResult& result) {
  Json limits = {{"open_files_soft", limit_fact(facts.open_files_soft)},
                 {"open_files_hard", limit_fact(facts.open_files_hard)},
                 {"memlock_bytes", limit_fact(facts.memlock_bytes)}};
  limits.update(facts_in(kLimitFiles, facts));
  limits["of_run"] = describe_run_limits(result);
  return limits;
}

Json describe_io_uring(const EnvironmentFacts& facts, const RunResult& result) {
  Json io_uring = facts_in(kRingFiles, facts);
  io_uring["liburing"] = text_fact(facts.liburing);
  io_uring["features"] = facts.ring_features;
  io_uring["rings"] = Json::object();
  for (const RingReport& ring : result.rings)
    io_uring["rings"][ring.role] = {{"flags", ring_flag_names(static_cast<uint32_t>(ring.flags))},
                                    {"completion_entries", ring.completion_entries}};
  return io_uring;
}

Json describe_build(const EnvironmentFacts&, const RunResult&) {
  return {
      {"version", text_fact(LASTACK_VERSION)},
      {"commit", text_fact(LASTACK_COMMIT)},
      {"compiler", text_fact(LASTACK_COMPILER)},
      {"build_type", text_fact(LASTACK_BUILD_TYPE)},
      {"sanitizers", kSanitized},
  };
}

// Places that a container gives itself away by. None of them is proof that there is no container:
// with a cgroup namespace, pid 1's cgroup is "/" (cgroup_namespaces(7)).
Json container_evidence(const EnvironmentFacts& facts) {
  constexpr const char* kManagers[] = {"docker", "containerd", "kubepods", "libpod", "lxc"};
  Json evidence = facts.container_markers;
  const std::string_view cgroup = text_of(facts, kFirstCgroup);
  for (const char* manager : kManagers)
    if (cgroup.find(manager) != std::string_view::npos)
      evidence.push_back(fmt::format("/proc/1/cgroup: {}", manager));
  return evidence;
}

// A seccomp filter runs at each system call, and Docker's refuses io_uring_setup(2).
Json describe_container(const EnvironmentFacts& facts, const RunResult&) {
  constexpr const char* kModes[] = {"disabled", "strict", "filter"};  // proc_pid_status(5)
  const Json mode = number_fact(value_of(text_of(facts, kOwnStatus), "Seccomp"));
  Json name;
  if (!mode.is_null() && mode >= 0 && mode < std::size(kModes)) name = kModes[mode.get<size_t>()];
  return {{"evidence", container_evidence(facts)}, {"seccomp_mode", name}};
}

Json describe_threads(const EnvironmentFacts&, const RunResult& result) {
  const std::map<std::string_view, const char*> tasks = {{"victim", "injects"},
                                                         {"survivor", "detects"}};
  Json threads = Json::array();
  for (const WorkerPlace& worker : result.workers) {
    const auto task = tasks.find(worker.role);
    threads.push_back({
        {"role", text_fact(worker.role)},
        {"shard", worker.shard},
        {"process", worker.process},
        {"cpu", worker.cpu >= 0 ? Json(worker.cpu) : Json()},  // null: not pinned
        {"spins", worker.spins},
        {"cpus", text_fact(worker.cpus)},
        {"policy", text_fact(worker.policy)},
        {"nice", worker.nice},
        {"does", task == tasks.end() ? Json() : Json(task->second)},
    });
  }
  return threads;
}

// Over 1, 5 and 15 minutes; the run itself is in it.
Json describe_load_average(const EnvironmentFacts& facts, const RunResult&) {
  return facts.load_average ? Json(*facts.load_average) : Json();
}

struct Part {
  const char* key;
  Json (*describe)(const EnvironmentFacts&, const RunResult&);
};

constexpr Part kParts[] = {
    {"time", describe_time},
    {"host", describe_host},
    {"privileged", describe_privileged},
    {"kernel", describe_kernel},
    {"lab", describe_lab},
    {"cpu", describe_cpu},
    {"memory", describe_memory},
    {"clock_source", describe_clock_source},
    {"tcp", describe_tcp},
    {"limits", describe_limits},
    {"io_uring", describe_io_uring},
    {"build", describe_build},
    {"container", describe_container},
    {"threads", describe_threads},
    {"load_average", describe_load_average},
};

// --- Reading.

// The hypervisor's own 12 letters, "KVMKVMKVM" (Documentation/virt/kvm/x86/cpuid.rst). Means
// something only when the hypervisor flag is set: bare metal may answer with another leaf's
// numbers.
std::string hypervisor_signature() {
#if defined(__x86_64__) || defined(__i386__)
  std::array<unsigned, 4> registers{};
  __cpuid(0x40000000, registers[0], registers[1], registers[2], registers[3]);
  char letters[12];
  std::memcpy(letters, &registers[1], sizeof letters);
  return {letters, sizeof letters};
#else
  return "";
#endif
}

std::map<std::string, std::string, std::less<>> read_files() {
  std::map<std::string, std::string, std::less<>> files;
  for (const auto& rows :
       {std::span<const FileRow>(kCpuFiles), std::span<const FileRow>(kMemoryFiles),
        std::span<const FileRow>(kClockFiles), std::span<const FileRow>(kLimitFiles),
        std::span<const FileRow>(kRingFiles)})
    for (const FileRow& row : rows) files[row.path] = read_text(row.path);
  for (const char* path : kOtherFiles) files[path] = read_text(path);
  return files;
}

std::map<std::string, std::string> read_mitigations() {
  std::map<std::string, std::string> states;
  std::error_code failed;
  std::filesystem::directory_iterator file("/sys/devices/system/cpu/vulnerabilities", failed);
  for (; !failed && file != std::filesystem::directory_iterator(); file.increment(failed))
    states[file->path().filename().string()] = read_text(file->path().string());
  return states;
}

void read_limits(EnvironmentFacts& facts) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    facts.open_files_soft = limit.rlim_cur;
    facts.open_files_hard = limit.rlim_max;
  }
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) facts.memlock_bytes = limit.rlim_cur;
}

}  // namespace

EnvironmentFacts read_environment_facts() {
  EnvironmentFacts facts;
  facts.files = read_files();
  facts.mitigations = read_mitigations();
  facts.now_s = std::time(nullptr);
  uname(&facts.kernel);  // fails only for a bad pointer (uname(2)), and then every field is empty
  facts.privileged = geteuid() == 0;
  facts.config = read_kernel_config();
  if (const auto cpus = usable_cpus(0)) facts.usable_cpus = *cpus;
  facts.online_cpus = sysconf(_SC_NPROCESSORS_ONLN);
  facts.hypervisor_signature = hypervisor_signature();
  facts.quotas = read_cpu_quotas();
  read_limits(facts);
  facts.liburing = liburing_version();
  facts.ring_features = probe_ring_features();
  for (const char* path : kMarkers)
    if (access(path, F_OK) == 0) facts.container_markers.emplace_back(path);
  std::array<double, 3> minutes{};
  if (getloadavg(minutes.data(), minutes.size()) == minutes.size()) facts.load_average = minutes;
  return facts;
}

nlohmann::ordered_json environment_of(const EnvironmentFacts& facts, const RunResult& result) {
  Json environment;
  for (const Part& part : kParts) environment[part.key] = part.describe(facts, result);
  // Firmware and boot loader may write bytes that are not UTF-8, at which the caller's dump()
  // would throw: they become U+FFFD here.
  return Json::parse(environment.dump(-1, ' ', false, Json::error_handler_t::replace), nullptr,
                     false);
}

nlohmann::ordered_json describe_environment(const RunResult& result) {
  return environment_of(read_environment_facts(), result);
}

std::string build_version() {
  return fmt::format("{} (commit {}, {})", LASTACK_VERSION, LASTACK_COMMIT, LASTACK_COMPILER);
}

}  // namespace lastack
