// The doctor over made-up hosts: who has enough, who has one too little, and whether the mend
// helps.
#include "doctor/doctor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <numeric>
#include <set>

#include "../named_case.h"
#include "base/parse.h"
#include "specs.h"

namespace lastack::doctor {
namespace {

using cases::PrintTo;

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kMiB = 1 << 20;

RunSpec with_host_network(RunSpec spec) {
  spec.host_network = true;
  return spec;
}

std::vector<int> cpus(int64_t count) {
  std::vector<int> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// Has plenty of everything.
HostFacts healthy_host() {
  HostFacts facts;
  facts.host = {.descriptor_limit = 1'000'000,
                .cpus = cpus(16),
                .net_admin = true,
                .private_network = true,
                .ports = 64'512};
  facts.sysctls = {.nr_open = 1'000'000,
                   .file_max = 100'000'000,
                   .files_in_use = 100,
                   .io_uring_disabled = 0,
                   .io_uring_group = -1,
                   .max_user_namespaces = 15'000,
                   .max_net_namespaces = 15'000,
                   .unprivileged_userns_clone = 1,
                   .apparmor_restrict_userns = 0,
                   .max_orphans = 10'000'000,
                   .max_tw_buckets = 10'000'000,
                   .conntrack_max = 10'000'000,
                   .conntrack_count = 5};
  facts.limits.open_files_hard = 1'000'000;
  facts.rights.user = 1'000;
  facts.tasks_of_user = 10;
  facts.memory = {.available_bytes = 100'000 * kMiB, .swap_free_bytes = 0};
  facts.mapped_bytes = 10 * kMiB;
  facts.data_bytes = 5 * kMiB;
  facts.tcp_memory_bytes = 10 * 4096;
  facts.tcp_pressure_bytes = 100'000 * kMiB;
  facts.quotas.known = true;
  facts.load = {.load_average = 0.1, .others = 0, .cpus = 16};
  facts.kernel_release = "6.12.3-amd64";
  facts.online_cpus = 16;
  facts.trial.first_port = 1024;
  facts.trial.last_port = 65535;
  facts.trial.listen_backlog = 4096;
  facts.trial.entered = true;
  facts.trial.rings_are_locked = true;
  facts.ring_features = {{"io_uring", true}};
  for (const RingModeRow& row : ring_modes())
    facts.ring_features[fmt::format("mode-{}", row.name)] = true;
  return facts;
}

std::vector<Examination> examined(const HostFacts& facts, const RunSpec& spec) {
  return examine(facts, demand_of(spec, facts.host));
}

Examination examined(const HostFacts& facts, const RunSpec& spec, std::string_view name) {
  for (const Examination& one : examined(facts, spec))
    if (one.name == name) return one;
  ADD_FAILURE() << name << " was not examined";
  return {};
}

// ---- Doing what a mend says -----------------------------------------------------------------

void set_sysctls(std::string_view assignments, HostFacts& facts) {
  // The two whose value has blanks stand alone.
  const std::string text(assignments);
  long long first = 0, second = 0;
  if (std::sscanf(text.c_str(), "net.ipv4.tcp_mem=\"%*d %lld", &first) == 1) {
    facts.tcp_pressure_bytes = first * facts.page_bytes;
    return;
  }
  if (std::sscanf(text.c_str(), "net.ipv4.ip_local_port_range=\"%lld %lld", &first, &second) == 2) {
    facts.trial.first_port = first;
    facts.trial.last_port = second;
    return;
  }
  for (const std::string_view assignment : split(assignments, ' ')) {
    const size_t at = assignment.find('=');
    ASSERT_NE(at, std::string_view::npos) << assignments;
    const std::string_view name = assignment.substr(0, at);
    const auto value = leading_count(assignment.substr(at + 1));
    ASSERT_TRUE(value) << assignment;
    const auto rows = sysctl_rows();
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const SysctlRow& one) { return one.name == name; });
    if (row != rows.end()) facts.sysctls.*row->value = value;
    if (name == "net.core.somaxconn") facts.trial.listen_backlog = value;
  }
}

void set_limit(std::string_view flag, int64_t value, HostFacts& facts) {
  if (flag == "-Hn") facts.host.descriptor_limit = facts.limits.open_files_hard = value;
  if (flag == "-u") facts.limits.processes = value;
  if (flag == "-f") facts.limits.file_bytes = value;
  if (flag == "-t") facts.limits.cpu_s = value;
  if (flag == "-v") facts.limits.address_space_bytes = value * 1024;
  if (flag == "-d") facts.limits.data_bytes = value * 1024;
  if (flag == "-l") facts.limits.locked_bytes = value * 1024;
}

void write_limit(std::string_view file, int64_t value, HostFacts& facts) {
  for (auto* limits : {&facts.process_limits, &facts.memory_limits})
    for (CgroupLimit& limit : *limits)
      if (limit.file == file) limit.limit = value;
  if (facts.quotas.tightest && facts.quotas.tightest->file == file) facts.quotas.tightest.reset();
}

void do_one(std::string_view what, HostFacts& facts, RunSpec& spec) {
  const auto words = split(what, ' ');
  const auto number = [&](size_t word) {
    return words[word] == "unlimited" || words[word] == "max" ? kUnlimited
                                                              : *leading_count(words[word]);
  };
  if (what.starts_with("sysctl -w ")) {
    set_sysctls(what.substr(10), facts);
  } else if (words[0] == "ulimit") {
    set_limit(words[1], number(2), facts);
  } else if (words[0] == "echo") {
    write_limit(words[3], number(1), facts);
  } else if (words[0] == "--connections") {
    spec.connections = number(1);
  } else if (words[0] == "--shards") {
    spec.shards = number(1);
  } else if (what == "--wait block --ring defer") {
    spec.wait = Wait::block;
    spec.ring = RingMode::defer;
  } else if (what == "--ring defer --watch recv") {
    spec.ring = RingMode::defer;
    spec.watches = {Watch::recv};
  } else if (what.starts_with("taskset -cp 0-")) {
    facts.host.cpus = cpus(*leading_count(what.substr(14)) + 1);
  } else if (what.find(" more CPUs, or") != std::string_view::npos) {
    facts.host.cpus = cpus(static_cast<int64_t>(facts.host.cpus.size()) + number(0));
  } else if (what == "add a CPU") {
    facts.host.cpus.push_back(100);
  } else if (what == "boot Linux 6.1 or newer") {
    facts.kernel_release = "6.1.0";
  } else if (what.starts_with("wait until the host is quiet")) {
    facts.load.others = 0;
  } else if (what.starts_with("run as root")) {
    facts.host.net_admin = true;
  } else {
    ADD_FAILURE() << "not a mend that can be done here: " << what;
  }
}

void do_mend(std::string_view mend, HostFacts& facts, RunSpec& spec) {
  for (size_t at = 0; at < mend.size();) {
    const size_t end = std::min(mend.find(" && ", at), mend.size());
    do_one(mend.substr(at, end - at), facts, spec);
    at = end + 4;
  }
}

// ---- Every row: enough, one too little, mended ----------------------------------------------

struct Shortage {
  const char* name;
  const char* examination;
  RunSpec (*spec)();
  void (*take)(HostFacts& facts);  // what it needs from the healthy host
  Health health;
  const char* observed;
  const char* mend;
};

// Functions, since the strategies may not be there yet when this table is made.
RunSpec fin() { return spec_of("fin", 1'000); }
RunSpec fin_on_host() { return with_host_network(spec_of("fin", 1'000)); }

template <class Change>
RunSpec with(RunSpec spec, Change change) {
  change(spec);
  return spec;
}

const Shortage kShortages[] = {
    {"Plan", "plan", fin, [](HostFacts& facts) { facts.host.descriptor_limit = 128; }, Health::bad,
     "the limit of open files is 128; allowed: at least 129 (ulimit -n)", "ulimit -Hn 1128"},
    {"OpenFiles", "open-files", [] { return with(fin(), [](RunSpec& spec) { spec.shards = 1; }); },
     [](HostFacts& facts) { facts.host.descriptor_limit = 1127; }, Health::bad, "1127",
     "ulimit -Hn 1128"},
    {"OpenFilesAboveTheirMost", "open-files",
     [] { return with(fin(), [](RunSpec& spec) { spec.shards = 1; }); },
     [](HostFacts& facts) {
       facts.host.descriptor_limit = facts.limits.open_files_hard = 1127;
       facts.sysctls.nr_open = 1127;
     },
     Health::bad, "1127", "sysctl -w fs.nr_open=1128 && ulimit -Hn 1128"},
    // Each connection of this probe has two descriptors more.
    {"OpenFilesOfTimers", "open-files",
     [] {
       return with(spec_of("silent", 1'000), [](RunSpec& spec) {
         spec.shards = 1;
         spec.watches = {Watch::epoll};
         spec.probes = {Probe::heartbeat_timerfd};
       });
     },
     [](HostFacts& facts) { facts.host.descriptor_limit = 2127; }, Health::bad, "2127",
     "ulimit -Hn 2128"},
    // The launcher needs them: 100 tables and 200 channels.
    {"OpenFilesOfTheLauncher", "open-files",
     [] { return with(spec_of("fin", 100), [](RunSpec& spec) { spec.shards = 100; }); },
     [](HostFacts& facts) { facts.host.descriptor_limit = 427; }, Health::bad, "427",
     "ulimit -Hn 428"},
    {"MostOpenFiles", "fs.nr_open", fin, [](HostFacts& facts) { facts.sysctls.nr_open = 999'999; },
     Health::bad, "999999", "sysctl -w fs.nr_open=1000000"},
    {"FilesOfTheHost", "fs.file-max", fin, [](HostFacts& facts) { facts.sysctls.file_max = 2'355; },
     Health::bad, "2355", "sysctl -w fs.file-max=2581"},
    {"FilesOfTimers", "fs.file-max",
     [] {
       return with(spec_of("silent", 1'000), [](RunSpec& spec) {
         spec.watches = {Watch::epoll};
         spec.probes = {Probe::heartbeat_timerfd};
       });
     },
     [](HostFacts& facts) { facts.sysctls.file_max = 3'355; }, Health::bad, "3355",
     "sysctl -w fs.file-max=3681"},
    {"Processes", "processes", fin, [](HostFacts& facts) { facts.limits.processes = 13; },
     Health::bad, "13", "ulimit -u 78"},
    {"Threads", "processes",
     [] { return with(fin(), [](RunSpec& spec) { spec.watches = {Watch::blocking}; }); },
     [](HostFacts& facts) { facts.limits.processes = 1'013; }, Health::bad, "1013",
     "ulimit -u 1078"},
    {"CgroupProcesses", "cgroup-pids", fin,
     [](HostFacts& facts) {
       facts.process_limits = {{"/a/b/pids.max", kUnlimited, {}}, {"/a/pids.max", 13, 10}};
     },
     Health::bad, "3 of 13 free (/a/pids.max)", "echo 78 > /a/pids.max"},
    {"NestedCgroups", "cgroup-pids", fin,
     [](HostFacts& facts) {
       facts.process_limits = {
           {"/a/b/pids.max", 5, 3}, {"/a/pids.max", 12, 11}, {"/pids.max", 99, 12}};
     },
     Health::bad, "1 of 12 free (/a/pids.max)", "echo 71 > /a/b/pids.max && echo 79 > /a/pids.max"},
    {"Memory", "memory", fin, [](HostFacts& facts) { facts.memory.available_bytes = 9'164'999; },
     Health::bad, "8 MiB available", "--connections 999"},
    {"MemoryOfNeighbours", "memory",
     [] { return with(fin(), [](RunSpec& spec) { spec.neighbours = 500; }); },
     [](HostFacts& facts) { facts.memory.available_bytes = 9'165'000; }, Health::bad,
     "8 MiB available", "--connections 500"},
    {"MemoryOfFilledWindows", "memory",
     [] { return spec_of("fin,sigkill-sending,sigkill-sending-chatty", 1'000); },
     [](HostFacts& facts) { facts.memory.available_bytes = 10 * kMiB; }, Health::bad,
     "10 MiB available", "--connections 246"},
    {"CgroupMemory", "cgroup-memory", fin,
     [](HostFacts& facts) {
       facts.memory_limits = {{"/a/memory.max", 10'000'000, 835'001}};
     },
     Health::bad, "8 MiB of 9 MiB free (/a/memory.max)", "echo 10000001 > /a/memory.max"},
    {"FileSize", "file-size", fin, [](HostFacts& facts) { facts.limits.file_bytes = kMiB - 1; },
     Health::warning, "1023 KiB", "ulimit -f unlimited"},
    {"FileSizeOfTheTable", "file-size", fin,
     [](HostFacts& facts) { facts.limits.file_bytes = 4096; }, Health::bad, "4 KiB",
     "ulimit -f unlimited"},
    {"AddressSpace", "address-space", fin,
     [](HostFacts& facts) { facts.limits.address_space_bytes = 70 * kMiB; }, Health::warning,
     "70 MiB", nullptr},
    {"Data", "data", fin, [](HostFacts& facts) { facts.limits.data_bytes = 5 * kMiB - 1; },
     Health::bad, "4 MiB", "ulimit -d 70656"},
    {"CpuTime", "cpu-time", fin, [](HostFacts& facts) { facts.limits.cpu_s = 5; }, Health::warning,
     "5 s", "ulimit -t 12"},
    {"CpuTimeOfWhoSpins", "cpu-time",
     [] { return with(fin(), [](RunSpec& spec) { spec.wait = Wait::spin; }); },
     [](HostFacts& facts) { facts.limits.cpu_s = 5; }, Health::bad, "5 s", "ulimit -t 12"},
    {"LockedMemory", "locked-memory", fin,
     [](HostFacts& facts) { facts.limits.locked_bytes = 100 * 1024; }, Health::bad, "100 KiB",
     nullptr},
    {"TcpMemory", "net.ipv4.tcp_mem", fin,
     [](HostFacts& facts) { facts.tcp_pressure_bytes = 134 * 4096; }, Health::warning,
     "134 pages, 10 of them in use", "sysctl -w net.ipv4.tcp_mem=\"67 135 270\""},
    {"Ports", "ports", fin_on_host,
     [](HostFacts& facts) {
       facts.trial.first_port = 40'000;
       facts.trial.last_port = 40'019;
     },
     Health::bad, "40000-40019: 1280 connections per shard",
     "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""},
    {"PortsOfOneShard", "ports", [] { return spec_of("fin", 3'000'000); },
     [](HostFacts& facts) { facts.host.descriptor_limit = 10'000'000; }, Health::warning,
     "1024-65535 in the private namespace", "--shards 2"},
    {"Backlog", "net.core.somaxconn", fin,
     [](HostFacts& facts) { facts.trial.listen_backlog = 1'023; }, Health::warning,
     "1023 in the private namespace", "sysctl -w net.core.somaxconn=4096"},
    {"RingsForAGroup", "kernel.io_uring_disabled", fin,
     [](HostFacts& facts) {
       facts.sysctls.io_uring_disabled = 1;
       facts.sysctls.io_uring_group = 50;
       facts.rights.groups = {49, 51};
     },
     Health::bad, "1, kernel.io_uring_group is 50", "sysctl -w kernel.io_uring_disabled=0"},
    {"RingsForNobody", "kernel.io_uring_disabled", fin,
     [](HostFacts& facts) { facts.sysctls.io_uring_disabled = 2; }, Health::bad, "2",
     "sysctl -w kernel.io_uring_disabled=0"},
    {"Kernel", "kernel", fin, [](HostFacts& facts) { facts.kernel_release = "6.0.9"; },
     Health::warning, "Linux 6.0.9", "boot Linux 6.1 or newer"},
    {"RingMode", "kernel",
     [] { return with(fin(), [](RunSpec& spec) { spec.ring = RingMode::sqpoll; }); },
     [](HostFacts& facts) { facts.ring_features["mode-sqpoll"] = false; }, Health::bad,
     "without --ring sqpoll", "--ring defer --watch recv"},
    {"Namespaces", "namespace-limits", fin,
     [](HostFacts& facts) {
       facts.sysctls.max_user_namespaces = facts.sysctls.max_net_namespaces = 0;
     },
     Health::bad, "user.max_user_namespaces 0, user.max_net_namespaces 0",
     "sysctl -w user.max_user_namespaces=15000 && sysctl -w user.max_net_namespaces=15000"},
    {"NamespacesOfDebian", "kernel.unprivileged_userns_clone", fin,
     [](HostFacts& facts) {
       facts.sysctls.unprivileged_userns_clone = 0;
       facts.trial.entered = false;
     },
     Health::bad, "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
    {"NamespacesOfUbuntu", "kernel.apparmor_restrict_unprivileged_userns", fin,
     [](HostFacts& facts) {
       facts.sysctls.apparmor_restrict_userns = 1;
       facts.trial.entered = false;
     },
     Health::bad, "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
    {"NetAdmin", "net-admin", [] { return with_host_network(spec_of("fin,vanish", 1'000)); },
     [](HostFacts& facts) { facts.host.net_admin = false; }, Health::warning,
     "no: vanish will be skipped", "run as root, or without --host-network"},
    {"Orphans", "net.ipv4.tcp_max_orphans", fin,
     [](HostFacts& facts) { facts.sysctls.max_orphans = 999; }, Health::warning, "999, host-wide",
     "sysctl -w net.ipv4.tcp_max_orphans=1000"},
    {"OneCpuOfMany", "cpus", fin, [](HostFacts& facts) { facts.host.cpus = {3}; }, Health::warning,
     "1 usable", "taskset -cp 0-15 $$"},
    {"OneCpu", "cpus", [] { return with(fin(), [](RunSpec& spec) { spec.wait = Wait::spin; }); },
     [](HostFacts& facts) {
       facts.host.cpus = {0};
       facts.online_cpus = 1;
     },
     Health::warning, "1 usable", "add a CPU"},
    {"CpusOfShards", "cpus", [] { return with(fin(), [](RunSpec& spec) { spec.shards = 9; }); },
     [](HostFacts&) {}, Health::warning, "16 usable, 8 of them for 9 survivors' processes",
     "--shards 8"},
    {"CpusOfGroups", "cpus", [] { return spec_of("fin,cable,reboot,sigkill-sending", 1'000); },
     [](HostFacts& facts) { facts.host.cpus = cpus(2); }, Health::warning,
     "2 usable, 1 of them for 4 survivors' processes",
     "5 more CPUs, or fewer engines and kinds of paths in one run"},
    {"CpusOfAnEngine", "cpus",
     [] {
       return with(spec_of("fin", 3'000), [](RunSpec& spec) { spec.watches = {Watch::select}; });
     },
     [](HostFacts& facts) { facts.host.cpus = cpus(2); }, Health::warning,
     "2 usable, 1 of them for 4 survivors' processes",
     "5 more CPUs, or fewer connections in one run"},
    {"CpusOfDescriptors", "cpus", [] { return spec_of("fin,cable", 1'000); },
     [](HostFacts& facts) {
       facts.host.cpus = cpus(5);
       facts.host.descriptor_limit = 300;
     },
     Health::warning, "5 usable, 3 of them for 6 survivors' processes", "ulimit -Hn 628"},
    {"CpusOfWhoSpins", "cpus",
     [] {
       return with(fin(), [](RunSpec& spec) {
         spec.wait = Wait::spin;
         spec.ring = RingMode::sqpoll;
       });
     },
     [](HostFacts&) {}, Health::warning, "what should spin will block",
     "--wait block --ring defer"},
    {"Load", "host-load", fin, [](HostFacts& facts) { facts.load.others = 8; }, Health::warning,
     "8.0 other tasks run or wait",
     "wait until the host is quiet (top), or their work becomes latency"},
    {"Quota", "cgroup-cpu", fin,
     [](HostFacts& facts) {
       facts.quotas.tightest = CpuQuota{0.5, "/a/cpu.max"};
     },
     Health::warning, "0.5 CPUs (/a/cpu.max)", "echo max > /a/cpu.max"},
    {"Conntrack", "net.netfilter.nf_conntrack_max", fin_on_host,
     [](HostFacts& facts) { facts.sysctls.conntrack_max = 1'004; }, Health::warning, "1004",
     "sysctl -w net.netfilter.nf_conntrack_max=1005"},
    {"TimeWait", "net.ipv4.tcp_max_tw_buckets", fin_on_host,
     [](HostFacts& facts) { facts.sysctls.max_tw_buckets = 999; }, Health::warning, "999",
     "sysctl -w net.ipv4.tcp_max_tw_buckets=1000"},
};

class Lacks : public testing::TestWithParam<Shortage> {};

TEST_P(Lacks, IsSaidAndItsMendHelps) {
  const Shortage& shortage = GetParam();
  HostFacts facts = healthy_host();
  RunSpec spec = shortage.spec();
  shortage.take(facts);
  const Examination found = examined(facts, spec, shortage.examination);
  EXPECT_EQ(found.health, shortage.health) << found.observed << "; needed: " << found.needed;
  EXPECT_THAT(found.observed, HasSubstr(shortage.observed));
  if (shortage.mend) {
    EXPECT_EQ(found.mend, shortage.mend);
  }
  ASSERT_NE(found.mend, "");
  do_mend(found.mend, facts, spec);
  const Examination mended = examined(facts, spec, shortage.examination);
  EXPECT_EQ(mended.health, Health::ok) << mended.observed << "; needed: " << mended.needed;
  EXPECT_EQ(mended.mend, "");
}

INSTANTIATE_TEST_SUITE_P(Doctor, Lacks, testing::ValuesIn(kShortages), cases::by_name);

TEST(Doctor, FindsNothingWhereThereIsPlenty) {
  const RunSpec spec = spec_of("fin", 1'000);
  for (const RunSpec& asked : {spec, with_host_network(spec)})
    for (const Examination& one : examined(healthy_host(), asked)) {
      EXPECT_EQ(one.health, Health::ok) << one.name << ": " << one.observed;
      EXPECT_EQ(one.mend, "") << one.name;
    }
}

// What no command of this list can mend is tried, and has a test below.
TEST(Doctor, IsTestedRowByRow) {
  std::set<std::string_view> tested = {"rows", "io-uring", "waits", "private-namespace",
                                       "private-sysctls"};
  for (const Shortage& shortage : kShortages) tested.insert(shortage.examination);
  for (const ExaminationRow& row : examination_rows()) EXPECT_THAT(tested, Contains(row.name));
}

TEST(Doctor, MendsAHostThatLacksEverything) {
  HostFacts facts = healthy_host();
  RunSpec spec = fin();
  for (const Shortage& shortage : kShortages)
    if (shortage.spec == fin && std::string_view(shortage.examination) != "cpus")
      shortage.take(facts);
  EXPECT_FALSE(healthy(examined(facts, spec)));
  for (int round = 0; round < 2; ++round)
    for (const Examination& one : examined(facts, spec))
      if (one.name != "private-namespace") do_mend(one.mend, facts, spec);
  for (const Examination& one : examined(facts, spec))
    if (one.name != "private-namespace") {
      EXPECT_EQ(one.health, Health::ok) << one.name << ": " << one.observed << "; " << one.needed;
    }
}

// ---- What cannot be read --------------------------------------------------------------------

struct Unknown {
  const char* name;
  const char* examination;
  RunSpec (*spec)();
  void (*forget)(HostFacts& facts);
  const char* said;
};

const Unknown kUnknown[] = {
    {"MostOpenFiles", "fs.nr_open", fin, [](HostFacts& facts) { facts.sysctls.nr_open.reset(); },
     "cannot be read"},
    {"FilesOfTheHost", "fs.file-max", fin, [](HostFacts& facts) { facts.sysctls.file_max.reset(); },
     "cannot be read"},
    {"FilesInUse", "fs.file-max", fin, [](HostFacts& facts) { facts.sysctls.files_in_use.reset(); },
     "an unknown number in use"},
    {"Tasks", "processes", fin, [](HostFacts& facts) { facts.tasks_of_user.reset(); },
     "an unknown number in use"},
    {"CgroupProcesses", "cgroup-pids", fin, [](HostFacts&) {}, "no pids limit to be read"},
    {"ProcessesInUse", "cgroup-pids", fin,
     [](HostFacts& facts) {
       facts.process_limits = {{"/a/pids.max", 100, {}}};
     },
     "100, and what is in use cannot be read (/a/pids.max)"},
    {"Memory", "memory", fin, [](HostFacts& facts) { facts.memory.available_bytes.reset(); },
     "cannot be read"},
    {"CgroupMemory", "cgroup-memory", fin, [](HostFacts&) {}, "no memory limit to be read"},
    {"Mapped", "address-space", fin, [](HostFacts& facts) { facts.mapped_bytes.reset(); },
     "an unknown number"},
    {"Data", "data", fin, [](HostFacts& facts) { facts.data_bytes.reset(); }, "an unknown number"},
    {"LockedMemory", "locked-memory", fin,
     [](HostFacts& facts) {
       facts.trial.rings_are_locked.reset();
       facts.limits.locked_bytes = 1024;
     },
     "unknown whether rings count"},
    {"TcpMemory", "net.ipv4.tcp_mem", fin, [](HostFacts& facts) { facts.tcp_memory_bytes.reset(); },
     "an unknown number of them in use"},
    {"Backlog", "net.core.somaxconn", fin,
     [](HostFacts& facts) { facts.trial.listen_backlog.reset(); }, "cannot be read"},
    {"RingSwitch", "kernel.io_uring_disabled", fin,
     [](HostFacts& facts) { facts.sysctls.io_uring_disabled.reset(); }, "absent"},
    {"Namespaces", "namespace-limits", fin,
     [](HostFacts& facts) { facts.sysctls.max_user_namespaces.reset(); },
     "user.max_user_namespaces absent"},
    {"Debian", "kernel.unprivileged_userns_clone", fin,
     [](HostFacts& facts) { facts.sysctls.unprivileged_userns_clone.reset(); }, "absent"},
    {"Ubuntu", "kernel.apparmor_restrict_unprivileged_userns", fin,
     [](HostFacts& facts) { facts.sysctls.apparmor_restrict_userns.reset(); }, "absent"},
    {"Orphans", "net.ipv4.tcp_max_orphans", fin,
     [](HostFacts& facts) { facts.sysctls.max_orphans.reset(); }, "not visible"},
    {"Load", "host-load", fin, [](HostFacts& facts) { facts.load = {.cpus = 16}; },
     "cannot be read"},
    {"Quota", "cgroup-cpu", fin, [](HostFacts& facts) { facts.quotas = {}; },
     "no quota to be read"},
    {"Tracked", "net.netfilter.nf_conntrack_max", fin_on_host,
     [](HostFacts& facts) { facts.sysctls.conntrack_count.reset(); }, "an unknown number in use"},
    {"TimeWait", "net.ipv4.tcp_max_tw_buckets", fin_on_host,
     [](HostFacts& facts) { facts.sysctls.max_tw_buckets.reset(); }, "cannot be read"},
};

class CannotRead : public testing::TestWithParam<Unknown> {};

TEST_P(CannotRead, IsSaidAndNothingIsMended) {
  HostFacts facts = healthy_host();
  GetParam().forget(facts);
  const Examination found = examined(facts, GetParam().spec(), GetParam().examination);
  EXPECT_EQ(found.health, Health::ok);
  EXPECT_THAT(found.observed + "; " + found.needed, HasSubstr(GetParam().said));
  EXPECT_EQ(found.mend, "");
}

INSTANTIATE_TEST_SUITE_P(Doctor, CannotRead, testing::ValuesIn(kUnknown), cases::by_name);

// ---- What was tried -------------------------------------------------------------------------

TEST(DoctorTrial, SaysWhyThereWasNone) {
  HostFacts facts = healthy_host();
  facts.trial.entered = false;
  facts.trial.rings_are_locked.reset();
  facts.ring_features.clear();
  facts.untried = make_error("fork", EAGAIN, "trial");
  for (const char* name : {"io-uring", "waits", "private-namespace"}) {
    const Examination found = examined(facts, fin(), name);
    EXPECT_EQ(found.health, Health::bad) << name;
    EXPECT_THAT(found.observed, HasSubstr("EAGAIN")) << name;
    EXPECT_THAT(found.mend, StartsWith("mend what `processes` and `cgroup-pids` say")) << name;
  }
  EXPECT_THAT(examined(facts, fin(), "processes").observed, HasSubstr("fork: EAGAIN"));
  EXPECT_THAT(examined(facts, fin(), "private-sysctls").observed, StartsWith("not tried"));
  EXPECT_THAT(examined(facts, fin(), "kernel").observed, HasSubstr("not probed"));
  EXPECT_THAT(examined(facts, fin(), "ports").observed, HasSubstr("could not be tried"));
  facts.untried = make_error("pipe2", EMFILE, "trial");
  EXPECT_EQ(examined(facts, fin(), "io-uring").mend, "ulimit -Hn 1128");
}

TEST(DoctorTrial, TellsWhatDeniesARing) {
  struct {
    int set_up, enter;
    std::optional<int64_t> disabled;
    int64_t seccomp;
    const char *observed, *mend;
  } const cases[] = {
      {EPERM, 0, 2, 0, "io_uring_setup: EPERM", "sysctl -w kernel.io_uring_disabled=0"},
      {EPERM, 0, 0, 2, "io_uring_setup: EPERM, under a seccomp filter", "run the container with"},
      {ENOSYS, 0, {}, 0, "io_uring_setup: ENOSYS", "boot a kernel with CONFIG_IO_URING=y"},
      {ENOSYS, 0, 0, 0, "io_uring_setup: ENOSYS", "run the container with"},
      {ENOMEM, 0, 0, 0, "io_uring_setup: ENOMEM", "ulimit -l "},
      {0, EPERM, 0, 2, "io_uring_enter: EPERM, under", "run the container with"},
  };
  for (const auto& one : cases) {
    HostFacts facts = healthy_host();
    facts.trial.ring_error = one.set_up;
    facts.trial.enter_error = one.enter;
    facts.sysctls.io_uring_disabled = one.disabled;
    facts.rights.seccomp = one.seccomp;
    const Examination found = examined(facts, fin(), "io-uring");
    EXPECT_EQ(found.health, Health::bad);
    EXPECT_THAT(found.observed, StartsWith(one.observed));
    EXPECT_THAT(found.mend, StartsWith(one.mend));
  }
}

TEST(DoctorTrial, TellsWhatDeniesANamespace) {
  struct {
    int error_number;
    std::optional<int64_t> debian, ubuntu;
    const char* mend;
  } const cases[] = {
      {ENOSPC, 1, 0, "sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000"},
      {EINVAL, 1, 0, "boot a kernel with CONFIG_USER_NS=y"},
      {EPERM, 0, {}, "sysctl -w kernel.unprivileged_userns_clone=1"},
      {EPERM, {}, 1, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
      {EPERM, {}, {}, "--host-network"},
  };
  for (const auto& one : cases) {
    HostFacts facts = healthy_host();
    facts.trial.entered = false;
    facts.trial.namespace_error = one.error_number;
    std::string_view("unshare: refused").copy(facts.trial.namespace_text, 255);
    facts.sysctls.unprivileged_userns_clone = one.debian;
    facts.sysctls.apparmor_restrict_userns = one.ubuntu;
    const Examination found = examined(facts, fin(), "private-namespace");
    EXPECT_EQ(found.health, Health::bad);
    EXPECT_EQ(found.observed, "unshare: refused");
    EXPECT_THAT(found.mend, StartsWith(one.mend));
  }
}

TEST(DoctorTrial, KnowsWhichWaitsHaveAStandIn) {
  HostFacts facts = healthy_host();
  const auto refuse = [&](std::string_view name) {
    for (size_t i = 0; i < kWaitRows; ++i)
      if (wait_rows()[i].name == name) facts.trial.wait_errors[i] = EPERM;
  };
  refuse("epoll_pwait2");
  EXPECT_EQ(examined(facts, fin(), "waits").health, Health::ok);  // recv has no use for it
  RunSpec epoll = fin();
  epoll.watches = {Watch::epoll};
  EXPECT_EQ(examined(facts, epoll, "waits").health, Health::warning);
  EXPECT_THAT(examined(facts, epoll, "waits").observed, HasSubstr("will stand in for it"));
  refuse("ppoll");
  EXPECT_EQ(examined(facts, fin(), "waits").health, Health::bad);
  EXPECT_THAT(examined(facts, epoll, "waits").mend, HasSubstr("ppoll, epoll_pwait2"));
}

TEST(DoctorTrial, SaysWhatSysctlsAndRowsARunGoesWithout) {
  HostFacts facts = healthy_host();
  std::string_view("write net/ipv4/tcp_retries2: EROFS").copy(facts.trial.sysctl_text, 255);
  EXPECT_EQ(examined(facts, fin(), "private-sysctls").health, Health::warning);
  EXPECT_THAT(examined(facts, fin(), "private-sysctls").observed, HasSubstr("EROFS"));
  RunSpec writer = fin();
  writer.watches = {Watch::writer};
  writer.write_paths = {WritePath::send, WritePath::send_zc};
  EXPECT_EQ(examined(facts, writer, "rows").health, Health::ok);
  facts.host.missing_write_needs = {WriteNeed::send_zc};
  EXPECT_EQ(examined(facts, writer, "rows").health, Health::warning);
  EXPECT_THAT(examined(facts, writer, "rows").observed,
              StartsWith("1 of 2 rows are skipped: 1 needs"));
}

TEST(DoctorRights, ExemptWhomTheKernelExempts) {
  HostFacts facts = healthy_host();
  facts.limits.processes = 1;
  facts.sysctls.file_max = 1;
  facts.rights.in_first_user_namespace = true;
  facts.rights.user = 0;
  EXPECT_THAT(examined(facts, fin(), "processes").observed, HasSubstr("this user may exceed"));
  EXPECT_EQ(examined(facts, fin(), "fs.file-max").health, Health::bad);
  facts.rights.capabilities = uint64_t{1} << 21;  // CAP_SYS_ADMIN, which a namespace takes away
  EXPECT_EQ(examined(facts, fin(), "fs.file-max").health, Health::bad);
  EXPECT_EQ(examined(facts, fin_on_host(), "fs.file-max").health, Health::ok);
  facts.rights.in_first_user_namespace = false;
  EXPECT_EQ(examined(facts, fin(), "processes").health, Health::bad);
  EXPECT_EQ(examined(facts, fin_on_host(), "fs.file-max").health, Health::bad);
  facts.rights.in_first_user_namespace.reset();
  EXPECT_EQ(examined(facts, fin(), "processes").health, Health::bad);
}

TEST(DoctorRights, LetMembersOfTheGroupUseRings) {
  HostFacts facts = healthy_host();
  facts.sysctls.io_uring_disabled = 1;
  facts.sysctls.io_uring_group = 50;
  facts.rights.groups = {20, 50};
  EXPECT_EQ(examined(facts, fin(), "kernel.io_uring_disabled").health, Health::ok);
}

// ---- The demand -----------------------------------------------------------------------------

TEST(Demand, OfLockedMemoryCountsTheNeighboursTraffic) {
  RunSpec spec = spec_of("fin", 10'000);
  const Host host = healthy_host().host;
  const int64_t alone = locked_bytes_of(demand_of(spec, host), 4096);
  spec.neighbours = 10;
  const int64_t beside = locked_bytes_of(demand_of(spec, host), 4096);
  spec.neighbour_traffic.load = Load::idle;
  EXPECT_GT(beside, alone);
  EXPECT_EQ(locked_bytes_of(demand_of(spec, host), 4096), alone);
}

TEST(LacksMemory, IsJudgedByFactsAlone) {
  HostFacts facts = healthy_host();
  const Demand demand = demand_of(fin(), *make_plan(fin(), facts.host));
  EXPECT_FALSE(lacks_memory(facts, demand));
  facts.limits.locked_bytes = 0;
  EXPECT_THAT(lacks_memory(facts, demand)->message(), StartsWith("locked-memory is 0 KiB"));
  facts.trial.rings_are_locked = false;
  EXPECT_FALSE(lacks_memory(facts, demand));
  facts.memory.available_bytes = kMiB;
  EXPECT_THAT(lacks_memory(facts, demand)->message(), StartsWith("memory is 1 MiB available"));
  facts.memory.swap_free_bytes = 100 * kMiB;
  EXPECT_FALSE(lacks_memory(facts, demand));
  facts.memory = {};
  EXPECT_FALSE(lacks_memory(facts, demand));
}

}  // namespace
}  // namespace lastack::doctor
