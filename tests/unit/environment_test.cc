// The environment manifest of hosts that are made up: what is not told is null, never zero.
#include "report/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/proc.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;

constexpr char kX86[] =
    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n"
    "model name\t: Intel(R) Xeon(R) @ 2.60GHz: the second\ncpu MHz\t\t: 2599.998\n"
    "flags\t\t: fpu vme hypervisor lahf_lm\n\nprocessor\t: 1\nmodel name\t: another\n";
constexpr char kArm[] =
    "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n";

EnvironmentFacts host_with(const std::string& cpuinfo) {
  EnvironmentFacts facts;
  facts.files["/proc/cpuinfo"] = cpuinfo;
  return facts;
}

Json part(const EnvironmentFacts& facts, const char* key) {
  return environment_of(facts, RunResult())[key];
}

std::vector<std::string> keys_in(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

TEST(EnvironmentOf, AnUnknownHostHasEveryPartAndNoFacts) {
  const Json environment = environment_of({}, RunResult());
  EXPECT_THAT(
      keys_in(environment),
      ElementsAre("time", "host", "privileged", "kernel", "lab", "cpu", "memory", "clock_source",
                  "tcp", "limits", "io_uring", "build", "container", "threads", "load_average"));
  EXPECT_TRUE(environment["host"].is_null());
  EXPECT_TRUE(environment["load_average"].is_null());
  for (const char* of : {"memory", "clock_source", "cpu"})
    for (const auto& [key, value] : environment[of].items())
      if (key != "hypervisor") {
        EXPECT_TRUE(value.is_null()) << key << value;
      }
  for (const auto& [key, value] : environment["cpu"]["hypervisor"].items())
    EXPECT_TRUE(value.is_null()) << key;
  for (const auto& [key, value] : environment["limits"].items())
    if (key != "of_run") {
      EXPECT_TRUE(value.is_null()) << key;
    }
  EXPECT_EQ(environment["container"]["evidence"], Json::array());
  EXPECT_TRUE(environment["container"]["seccomp_mode"].is_null());
  EXPECT_EQ(environment["time"], "1970-01-01T00:00:00Z");
}

TEST(EnvironmentOf, AnX86HostNamesItsCpuAndItsHypervisor) {
  EnvironmentFacts facts = host_with(kX86);
  facts.usable_cpus = std::vector<int>{0, 1, 2, 5};
  facts.online_cpus = 8;
  facts.hypervisor_signature = std::string("KVMKVMKVM\0\0\0", 12);
  facts.files["/sys/class/dmi/id/sys_vendor"] = "QEMU\n";
  facts.files["/sys/class/dmi/id/product_name"] = "Standard PC\nand more\n";
  facts.files["/sys/devices/system/cpu/smt/active"] = "1\n";
  facts.quotas = {true, CpuQuota{2.5, "/a/cpu.max"}};
  EXPECT_EQ(
      part(facts, "cpu"),
      Json({{"model", "Intel(R) Xeon(R) @ 2.60GHz: the second"},
            {"vendor", "GenuineIntel"},
            {"online_count", 8},
            {"usable_count", 4},
            {"usable_list", "0-2,5"},
            {"governor", nullptr},
            {"smt", true},
            {"frequency_mhz", 2599.998},
            {"quota_cpus", 2.5},
            {"hypervisor",
             {{"present", true}, {"signature", "KVMKVMKVM"}, {"name", "QEMU Standard PC"}}}}));
}

TEST(EnvironmentOf, BareMetalNamesNoHypervisor) {
  EnvironmentFacts facts = host_with("flags\t: fpu vme\n");
  facts.hypervisor_signature = "leaf numbers";
  facts.files["/sys/class/dmi/id/sys_vendor"] = "A maker\n";
  facts.quotas.known = true;
  const Json cpu = part(facts, "cpu");
  EXPECT_EQ(cpu["hypervisor"],
            Json({{"present", false}, {"signature", nullptr}, {"name", nullptr}}));
  EXPECT_EQ(cpu["quota_cpus"], "none");
}

TEST(EnvironmentOf, AnArmHostSaysLess) {
  const Json cpu = part(host_with(kArm), "cpu");
  EXPECT_TRUE(cpu["model"].is_null());
  EXPECT_TRUE(cpu["frequency_mhz"].is_null());
  EXPECT_TRUE(cpu["hypervisor"]["present"].is_null());
}

TEST(EnvironmentOf, MemoryIsInBytesAndGarbageIsNull) {
  EnvironmentFacts facts;
  facts.files["/proc/meminfo"] =
      "MemTotal:       16000 kB\nMemAvailable:   lots kB\nSwapTotal:      0 kB\n";
  facts.files["/sys/kernel/mm/transparent_hugepage/enabled"] = "always [madvise] never\n";
  EXPECT_EQ(part(facts, "memory"), Json({{"total_bytes", 16'384'000},
                                         {"available_bytes", nullptr},
                                         {"swap_total_bytes", 0},
                                         {"huge_pages", "always [madvise] never"}}));
}

TEST(EnvironmentOf, AKernelSaysHowItPreempts) {
  EnvironmentFacts facts;
  std::strcpy(facts.kernel.release, "6.1.0-9");
  std::strcpy(facts.kernel.version, "#1 SMP PREEMPT_DYNAMIC Debian");
  facts.files["/proc/cmdline"] = "root=/dev/sda preempt=none preempt=full -- preempt=init secret\n";
  facts.config = {"/boot/config-6.1.0-9",
                  "\nCONFIG_HZ=250\nCONFIG_HZ_250=y\nCONFIG_PREEMPT=y\n# CONFIG_PREEMPT_RT is not "
                  "set\nCONFIG_PREEMPT_DYNAMIC=y\n"};
  facts.mitigations = {{"meltdown", "Not affected\n"}, {"l1tf", ""}};
  const Json kernel = part(facts, "kernel");
  EXPECT_EQ(kernel["hz"], 250);
  EXPECT_EQ(kernel["release"], "6.1.0-9");
  EXPECT_EQ(kernel["preemption"], Json({{"version_flag", "PREEMPT_DYNAMIC"},
                                        {"boot_parameter", "preempt=full"},
                                        {"config", {"CONFIG_PREEMPT", "CONFIG_PREEMPT_DYNAMIC"}},
                                        {"debugfs", nullptr}}));
  EXPECT_EQ(kernel["command_line"], "root=/dev/sda preempt=none preempt=full");
  EXPECT_EQ(kernel["mitigations"].dump(), R"({"l1tf":null,"meltdown":"Not affected"})");
  EXPECT_TRUE(part({}, "kernel")["preemption"]["config"].is_null());
}

TEST(EnvironmentOf, AMachineOfTheLabNamesItsClock) {
  EnvironmentFacts facts;
  EXPECT_EQ(part(facts, "lab"),
            Json({{"accelerator", nullptr}, {"time_unit", nullptr}, {"does_not_show", nullptr}}));
  facts.files["/proc/cmdline"] = "quiet\n";
  EXPECT_EQ(part(facts, "lab"),
            Json({{"accelerator", "none"}, {"time_unit", "ns"}, {"does_not_show", Json::array()}}));
  facts.files["/proc/cmdline"] = "quiet lastack.accelerator=tcg lastack.clock=virtual_ns nokaslr\n";
  EXPECT_EQ(part(facts, "lab"),
            Json({{"accelerator", "tcg"},
                  {"time_unit", "virtual_ns"},
                  {"does_not_show", {"caches", "real interrupts", "parallelism"}}}));
  facts.files["/proc/cmdline"] = "quiet -- lastack.clock=virtual_ns\n";
  EXPECT_EQ(part(facts, "lab")["time_unit"], "ns");
}

TEST(EnvironmentOf, LimitsTellUnlimitedFromUnknown) {
  EnvironmentFacts facts;
  facts.open_files_soft = 1'024;
  facts.open_files_hard = RLIM_INFINITY;
  facts.files["/proc/sys/net/ipv4/tcp_mem"] = "1\t2\t3\n";
  facts.files["/proc/sys/fs/nr_open"] = "what\n";
  const Json limits = part(facts, "limits");
  EXPECT_EQ(limits["open_files_soft"], 1'024);
  EXPECT_EQ(limits["open_files_hard"], "unlimited");
  EXPECT_TRUE(limits["memlock_bytes"].is_null());
  EXPECT_TRUE(limits["nr_open"].is_null());
  EXPECT_EQ(limits["tcp_mem_pages"], "1 2 3");
}

TEST(EnvironmentOf, AContainerGivesItselfAway) {
  EnvironmentFacts facts;
  facts.container_markers = {"/.dockerenv"};
  facts.files["/proc/1/cgroup"] = "0::/kubepods/docker-1\n";
  facts.files["/proc/self/status"] = "Name:\tx\nSeccomp:\t2\n";
  EXPECT_EQ(
      part(facts, "container"),
      Json({{"evidence", {"/.dockerenv", "/proc/1/cgroup: docker", "/proc/1/cgroup: kubepods"}},
            {"seccomp_mode", "filter"}}));
  facts.files["/proc/self/status"] = "Seccomp:\t3\n";
  EXPECT_TRUE(part(facts, "container")["seccomp_mode"].is_null());
}

TEST(EnvironmentOf, BytesThatAreNoTextDoNotStopIt) {
  EnvironmentFacts facts = host_with("model name\t: \xff\xfe chip\n");
  EXPECT_EQ(part(facts, "cpu")["model"], "\uFFFD\uFFFD chip");
  EXPECT_NO_THROW((void)environment_of(facts, RunResult()).dump());
}

TEST(ValueOf, IsOfTheFirstLineWithThisWholeKey) {
  EXPECT_EQ(value_of("ab: 1\na : 2\na: 3\n", "a"), "2");
  EXPECT_EQ(value_of("a\n", "a"), "");
  EXPECT_EQ(value_of("CONFIG_HZ_100=y\nCONFIG_HZ=100\n", "CONFIG_HZ", '='), "100");
  EXPECT_EQ(number_of("active_file 5\n", "active_file", ' '), 5);
  EXPECT_EQ(number_of("inactive_file 5\n", "active_file", ' '), std::nullopt);
}

}  // namespace
}  // namespace lastack
