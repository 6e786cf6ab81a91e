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

// gcc defines macros, clang 14 answers __has_feature(). Neither tells of -fsanitize=undefined.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LASTACK_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LASTACK_SANITIZED true
#endif
#endif
#ifndef LASTACK_SANITIZED
#define LASTACK_SANITIZED false
#endif

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

// --- Text to facts: what is empty or does not parse is null.

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank(" \t\n\0", 4);
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Sysctls separate their numbers by tabs; one blank reads and compares better.
Json text_fact(std::string_view content) {
  std::string text(trimmed(content));
  if (text.empty()) return nullptr;
  std::replace(text.begin(), text.end(), '\t', ' ');
  return text;
}

// The number at the front; what follows is a unit ("kB") or the end of the line.
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

// The value of "key<blanks>:<blanks>value" (/proc/cpuinfo, meminfo, status), of the first such
// line; "" without one.
std::string_view field(std::string_view content, std::string_view key, char separator = ':') {
  for (const std::string_view line : split(content, '\n')) {
    const size_t at = line.find(separator);
    if (at != std::string_view::npos && trimmed(line.substr(0, at)) == key)
      return trimmed(line.substr(at + 1));
  }
  return {};
}

// The last word with this prefix, since the last of several equal boot parameters wins; ""
// without one.
std::string_view word_with_prefix(std::string_view text, std::string_view prefix) {
  std::string_view found;
  for (const std::string_view word : split(text, ' '))
    if (trimmed(word).starts_with(prefix)) found = trimmed(word);
  return found;
}

// A fact that is the content of one file.
struct FileRow {
  const char* key;
  const char* path;
  Json (*fact)(std::string_view);
};

Json facts_in(std::span<const FileRow> rows) {
  Json facts = Json::object();
  for (const FileRow& row : rows) facts[row.key] = row.fact(read_text(row.path));
  return facts;
}

// --- One function for each part of the manifest.

Json describe_time(const RunResult&) {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  if (gmtime_r(&now, &utc) == nullptr) return nullptr;
  char text[sizeof "2000-01-01T00:00:00Z" + 8];
  return text_fact({text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)});
}

utsname kernel_name() {
  utsname name{};
  uname(&name);  // fails only for a bad pointer (uname(2)), and then every field is empty
  return name;
}

Json describe_host(const RunResult&) { return text_fact(kernel_name().nodename); }

Json describe_privileged(const RunResult&) { return geteuid() == 0; }

// No single place names the model to an ordinary user: with PREEMPT_DYNAMIC, uname says only
// that it was chosen at boot, by the parameter or else the configuration (preempt_dynamic_init()
// in kernel/sched/core.c), and only root may read debugfs, which says what it is now.
Json describe_preemption(std::string_view version, std::string_view command_line,
                         const KernelConfig& config) {
  constexpr const char* kOptions[] = {"CONFIG_PREEMPT_NONE", "CONFIG_PREEMPT_VOLUNTARY",
                                      "CONFIG_PREEMPT",      "CONFIG_PREEMPT_LAZY",
                                      "CONFIG_PREEMPT_RT",   "CONFIG_PREEMPT_DYNAMIC"};
  Json chosen;
  if (!config.text.empty()) {
    chosen = Json::array();
    for (const char* option : kOptions)
      if (is_set(config, option)) chosen.push_back(option);
  }
  // What follows "--" is for init (kernel-parameters.rst).
  const std::string_view parameters = command_line.substr(0, command_line.find(" -- "));
  return {
      {"version_flag", text_fact(word_with_prefix(version, "PREEMPT"))},
      {"boot_parameter", text_fact(word_with_prefix(parameters, "preempt="))},
      {"config", chosen},
      {"debugfs", text_fact(read_text("/sys/kernel/debug/sched/preempt"))},
  };
}

// sysfs-devices-system-cpu: one file a vulnerability. Entering the kernel is what they slow down.
Json describe_mitigations() {
  std::map<std::string, Json> sorted;
  std::error_code failed;
  std::filesystem::directory_iterator file("/sys/devices/system/cpu/vulnerabilities", failed);
  for (; !failed && file != std::filesystem::directory_iterator(); file.increment(failed))
    sorted[file->path().filename().string()] = text_fact(read_text(file->path().string()));
  Json mitigations;
  for (const auto& [name, state] : sorted) mitigations[name] = state;
  return mitigations;
}

Json describe_kernel(const RunResult&) {
  const utsname name = kernel_name();
  const KernelConfig config = read_kernel_config();
  std::string command_line = read_text("/proc/cmdline");
  // What follows " -- " goes to init, not to the kernel, and is none of a reader's business.
  command_line = command_line.substr(0, command_line.find(" -- "));
  return {
      {"release", text_fact(name.release)},
      {"version", text_fact(name.version)},
      {"machine", text_fact(name.machine)},
      {"config_file", text_fact(config.path)},
      {"hz", number_fact(field(config.text, "CONFIG_HZ", '='))},
      {"preemption", describe_preemption(name.version, command_line, config)},
      {"mitigations", describe_mitigations()},
      {"command_line", text_fact(command_line)},
  };
}

Json describe_affinity() {
  const auto cpus = usable_cpus(0);
  if (!cpus) return {{"usable_count", nullptr}, {"usable_list", nullptr}};
  return {{"usable_count", cpus->size()}, {"usable_list", cpu_list(*cpus)}};
}

// The hypervisor's own 12 letters, "KVMKVMKVM" (Documentation/virt/kvm/x86/cpuid.rst). Only to be
// asked when the hypervisor flag is set: bare metal may answer with another leaf's numbers.
Json hypervisor_signature() {
#if defined(__x86_64__) || defined(__i386__)
  std::array<unsigned, 4> registers{};
  __cpuid(0x40000000, registers[0], registers[1], registers[2], registers[3]);
  char letters[12];
  std::memcpy(letters, &registers[1], sizeof letters);
  return text_fact({letters, sizeof letters});
#else
  return nullptr;
#endif
}

Json describe_hypervisor(std::string_view flags) {
  Json present, signature, name;
  if (!flags.empty()) {
    const auto words = split(flags, ' ');
    present = std::find(words.begin(), words.end(), "hypervisor") != words.end();
  }
  name = text_fact(read_text("/sys/hypervisor/type"));
  if (present == true) {
    signature = hypervisor_signature();
    // Without a hypervisor, DMI would name the maker of the machine.
    if (name.is_null())
      name = text_fact(read_first_line("/sys/class/dmi/id/sys_vendor") + " " +
                       read_first_line("/sys/class/dmi/id/product_name"));
  }
  return {{"present", present}, {"signature", signature}, {"name", name}};
}

Json describe_cpu(const RunResult&) {
  constexpr FileRow kFiles[] = {
      {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text_fact},
      {"smt", "/sys/devices/system/cpu/smt/active", flag_fact},
  };
  const std::string info = read_text("/proc/cpuinfo");
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  Json cpu = {
      {"model", text_fact(field(info, "model name"))},
      {"vendor", text_fact(field(info, "vendor_id"))},
      {"online_count", online > 0 ? Json(online) : Json()},
  };
  cpu.update(describe_affinity());
  cpu.update(facts_in(kFiles));
  // Of CPU 0, at this moment.
  cpu["frequency_mhz"] = leading_number<double>(field(info, "cpu MHz"));
  // A number of CPUs, or "none"; null where no cgroup tells.
  const CpuQuotas quotas = read_cpu_quotas();
  if (quotas.tightest)
    cpu["quota_cpus"] = quotas.tightest->cpus;
  else
    cpu["quota_cpus"] = quotas.known ? Json("none") : Json();
  cpu["hypervisor"] = describe_hypervisor(field(info, "flags"));
  return cpu;
}

Json describe_memory(const RunResult&) {
  struct Row {
    const char* key;
    const char* field;
  };
  constexpr Row kRows[] = {{"total_bytes", "MemTotal"},
                           {"available_bytes", "MemAvailable"},
                           {"swap_total_bytes", "SwapTotal"}};
  constexpr FileRow kFiles[] = {
      {"huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled", text_fact}};
  const std::string info = read_text("/proc/meminfo");
  Json memory;
  for (const Row& row : kRows) {
    const Json kibibytes = number_fact(field(info, row.field));  // "kB" there (proc_meminfo(5))
    memory[row.key] = kibibytes.is_null() ? Json() : Json(kibibytes.get<int64_t>() * 1024);
  }
  memory.update(facts_in(kFiles));
  return memory;
}

Json describe_clock_source(const RunResult&) {
  constexpr FileRow kFiles[] = {
      {"current", "/sys/devices/system/clocksource/clocksource0/current_clocksource", text_fact},
      {"available", "/sys/devices/system/clocksource/clocksource0/available_clocksource",
       text_fact},
  };
  return facts_in(kFiles);
}

Json describe_tcp(const RunResult& result) {
  Json sysctls;
  for (const auto& [name, value] : result.sysctls) sysctls[name] = text_fact(value);
  Json sockets = Json::array();
  for (const SocketReport& report : result.sockets) {
    const SocketFacts& facts = report.facts;
    const bool keepalive = facts.keepalive != 0;
    const auto of_keepalive = [&](int32_t value) { return keepalive ? Json(value) : Json(); };
    sockets.push_back(
        {{"role", text_fact(report.role)},
         {"probe", text_fact(report.probe)},
         {"congestion_control", text_fact(facts.congestion_control)},
         {"send_buffer_bytes", facts.send_buffer_bytes},
         {"receive_buffer_bytes", facts.receive_buffer_bytes},
         {"keepalive", keepalive},
         {"keepalive_idle_s", of_keepalive(facts.keepalive_idle_s)},
         {"keepalive_interval_s", of_keepalive(facts.keepalive_interval_s)},
         {"keepalive_count", of_keepalive(facts.keepalive_count)},
         {"user_timeout_ms", facts.user_timeout_ms ? Json(facts.user_timeout_ms) : Json()}});
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
Json limit_fact(rlim_t limit) {
  if (limit == RLIM_INFINITY) return "unlimited";
  return limit;
}

Json describe_limits(const RunResult& result) {
  struct Row {
    const char* key;
    decltype(RLIMIT_NOFILE) resource;
    rlim_t rlimit::*side;
  };
  constexpr Row kRows[] = {
      {"open_files_soft", RLIMIT_NOFILE, &rlimit::rlim_cur},
      {"open_files_hard", RLIMIT_NOFILE, &rlimit::rlim_max},
      {"memlock_bytes", RLIMIT_MEMLOCK, &rlimit::rlim_cur},
  };
  // tcp_mem and tcp_max_orphans are one for the host and are not to be seen in another network
  // namespace than the first (ipv4_table in net/ipv4/sysctl_net_ipv4.c): null in a container.
  constexpr FileRow kFiles[] = {
      {"file_max", "/proc/sys/fs/file-max", number_fact},
      {"nr_open", "/proc/sys/fs/nr_open", number_fact},
      {"max_user_namespaces", "/proc/sys/user/max_user_namespaces", number_fact},
      {"somaxconn", "/proc/sys/net/core/somaxconn", number_fact},
      {"tcp_mem_pages", "/proc/sys/net/ipv4/tcp_mem", text_fact},
      {"tcp_max_orphans", "/proc/sys/net/ipv4/tcp_max_orphans", number_fact},
  };
  Json limits;
  for (const Row& row : kRows) {
    rlimit limit{};
    const bool known = getrlimit(row.resource, &limit) == 0;
    limits[row.key] = known ? limit_fact(limit.*row.side) : Json();
  }
  limits.update(facts_in(kFiles));
  limits["of_run"] = describe_run_limits(result);
  return limits;
}

Json describe_io_uring(const RunResult& result) {
  // 0: for all, 1: for io_uring_group only, 2: for nobody; since Linux 6.6 (sysctl/kernel.rst).
  constexpr FileRow kFiles[] = {
      {"disabled_sysctl", "/proc/sys/kernel/io_uring_disabled", number_fact}};
  Json io_uring = facts_in(kFiles);
  io_uring["liburing"] = text_fact(liburing_version());
  io_uring["features"] = probe_ring_features();
  io_uring["rings"] = Json::object();
  for (const RingReport& ring : result.rings)
    io_uring["rings"][ring.role] = {{"flags", ring_flag_names(static_cast<uint32_t>(ring.flags))},
                                    {"completion_entries", ring.completion_entries}};
  return io_uring;
}

Json describe_build(const RunResult&) {
  return {
      {"version", text_fact(LASTACK_VERSION)},   {"commit", text_fact(LASTACK_COMMIT)},
      {"compiler", text_fact(LASTACK_COMPILER)}, {"build_type", text_fact(LASTACK_BUILD_TYPE)},
      {"sanitizers", LASTACK_SANITIZED},
  };
}

// Places that a container gives itself away by. None of them is proof that there is no container:
// with a cgroup namespace, pid 1's cgroup is "/" (cgroup_namespaces(7)).
Json container_evidence() {
  constexpr const char* kMarkers[] = {"/.dockerenv", "/run/.containerenv"};  // Docker, Podman
  constexpr const char* kManagers[] = {"docker", "containerd", "kubepods", "libpod", "lxc"};
  Json evidence = Json::array();
  for (const char* path : kMarkers)
    if (access(path, F_OK) == 0) evidence.push_back(path);
  const std::string cgroup = read_text("/proc/1/cgroup");
  for (const char* manager : kManagers)
    if (cgroup.find(manager) != std::string::npos)
      evidence.push_back(fmt::format("/proc/1/cgroup: {}", manager));
  return evidence;
}

// A seccomp filter runs at each system call, and Docker's refuses io_uring_setup(2).
Json describe_container(const RunResult&) {
  constexpr const char* kModes[] = {"disabled", "strict", "filter"};  // proc_pid_status(5)
  const Json mode = number_fact(field(read_text("/proc/self/status"), "Seccomp"));
  Json name;
  if (!mode.is_null() && mode >= 0 && mode < std::size(kModes)) name = kModes[mode.get<size_t>()];
  return {{"evidence", container_evidence()}, {"seccomp_mode", name}};
}

Json describe_threads(const RunResult& result) {
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
Json describe_load_average(const RunResult&) {
  std::array<double, 3> minutes{};
  if (getloadavg(minutes.data(), minutes.size()) != minutes.size()) return nullptr;
  return minutes;
}

struct Part {
  const char* key;
  Json (*describe)(const RunResult&);
};

constexpr Part kParts[] = {
    {"time", describe_time},
    {"host", describe_host},
    {"privileged", describe_privileged},
    {"kernel", describe_kernel},
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

}  // namespace

nlohmann::ordered_json describe_environment(const RunResult& result) {
  Json environment;
  for (const Part& part : kParts) environment[part.key] = part.describe(result);
  // Firmware and boot loader may write bytes that are not UTF-8, at which the caller's dump()
  // would throw: they become U+FFFD here.
  return Json::parse(environment.dump(-1, ' ', false, Json::error_handler_t::replace), nullptr,
                     false);
}

std::string build_version() {
  return fmt::format("{} (commit {}, {})", LASTACK_VERSION, LASTACK_COMMIT, LASTACK_COMPILER);
}

}  // namespace lastack
