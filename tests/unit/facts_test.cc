// What the doctor reads: texts of /proc, and control groups of both versions in a folder.
#include "doctor/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace lastack::doctor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

namespace fs = std::filesystem;

class Hierarchy : public testing::Test {
 protected:
  Hierarchy() {
    std::string name = (fs::temp_directory_path() / "lastack-test-XXXXXX").string();
    if (mkdtemp(name.data())) root_ = name;
  }
  ~Hierarchy() override { fs::remove_all(root_); }

  std::string at(const std::string& below) const { return root_ + "/" + below; }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories(fs::path(at(file)).parent_path());
    std::ofstream(at(file)) << text;
  }
  // Of a process in /a/b: `membership` names the hierarchy.
  CgroupTexts version2(const std::string& path = "/a/b", const std::string& mounted = "/") const {
    return {"0::" + path + "\n",
            "24 1 8:1 / / rw - ext4 /dev/sda rw\n"
            "35 24 0:30 " +
                mounted + " " + root_ + " rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"};
  }
  CgroupTexts version1(const std::string& controllers) const {
    return {"5:" + controllers + ":/a\n1:name=systemd:/x\n0::/\n",
            "35 24 0:30 / " + root_ + " rw,nosuid - cgroup cgroup rw," + controllers + "\n"};
  }

  std::string root_;
};

struct Seen {
  std::string file;
  int64_t limit;
  std::optional<int64_t> used;
  bool operator==(const Seen&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << seen.file << " " << seen.limit << " " << seen.used.value_or(-1);
}
std::vector<Seen> seen(const std::vector<CgroupLimit>& limits) {
  std::vector<Seen> all;
  for (const CgroupLimit& one : limits) all.push_back({one.file, one.limit, one.used});
  return all;
}

TEST_F(Hierarchy, OfVersion2HasTheLimitsOfAllAncestors) {
  write("a/b/pids.max", "max\n");
  write("a/b/pids.current", "3\n");
  write("a/pids.max", "12\n");
  write("a/pids.current", "11\n");
  write("a/memory.stat", "inactive_file 4096\n");  // which is none of its processes
  write("pids.current", "99\n");                   // the root of a hierarchy has no limit
  EXPECT_THAT(
      seen(read_cgroup_process_limits(version2())),
      ElementsAre(Seen{at("a/b/pids.max"), kUnlimited, {}}, Seen{at("a/pids.max"), 12, 11}));
  EXPECT_THAT(read_cgroup_memory_limits(version2()), IsEmpty());
}

TEST_F(Hierarchy, OfVersion2CountsNoPagesThatTheKernelTakesBack) {
  write("a/b/memory.max", "1000000\n");
  write("a/b/memory.current", "900000\n");
  write("a/b/memory.stat", "anon 300000\ninactive_file 400000\nactive_file 100000\n");
  write("a/memory.max", "2000000\n");
  write("a/memory.current", "50000\n");  // more cache than is in use
  write("a/memory.stat", "inactive_file 60000\n");
  EXPECT_THAT(seen(read_cgroup_memory_limits(version2())),
              ElementsAre(Seen{at("a/b/memory.max"), 1'000'000, 400'000},
                          Seen{at("a/memory.max"), 2'000'000, 0}));
}

TEST_F(Hierarchy, SaysWhatCannotBeRead) {
  fs::create_directories(at("a/b/pids.max"));  // whoever opens it, even root, reads nothing
  write("a/pids.max", "12\n");
  fs::create_directories(at("a/pids.current"));
  write("pids.max", "what is this\n");
  EXPECT_THAT(seen(read_cgroup_process_limits(version2())),
              ElementsAre(Seen{at("a/pids.max"), 12, std::nullopt}));
}

TEST_F(Hierarchy, OfAContainerBeginsAtItsRoot) {
  write("b/pids.max", "7\n");
  write("pids.max", "8\n");
  const auto limits = read_cgroup_process_limits(version2("/a/b", "/a"));
  EXPECT_THAT(seen(limits),
              ElementsAre(Seen{at("b/pids.max"), 7, {}}, Seen{at("pids.max"), 8, {}}));
  // Its own namespace shows the path from there on; another's path is not ours.
  EXPECT_THAT(seen(read_cgroup_process_limits(version2("/ab", "/a"))),
              ElementsAre(Seen{at("pids.max"), 8, {}}));
}

TEST_F(Hierarchy, OfVersion1IsFoundByItsController) {
  write("a/memory.limit_in_bytes", "5000000\n");
  write("a/memory.usage_in_bytes", "4000000\n");
  write("a/memory.stat", "inactive_file 1\ntotal_inactive_file 900000\ntotal_active_file 100000\n");
  write("memory.limit_in_bytes", "9223372036854771712\n");
  write("memory.usage_in_bytes", "7000000\n");
  EXPECT_THAT(seen(read_cgroup_memory_limits(version1("memory"))),
              ElementsAre(Seen{at("a/memory.limit_in_bytes"), 5'000'000, 3'000'000},
                          Seen{at("memory.limit_in_bytes"), kUnlimited, {}}));
  write("a/pids.max", "20\n");
  write("a/pids.current", "5\n");
  EXPECT_THAT(seen(read_cgroup_process_limits(version1("pids"))),
              ElementsAre(Seen{at("a/pids.max"), 20, 5}));
  EXPECT_THAT(read_cgroup_process_limits(version1("cpu,cpuacct")), IsEmpty());
}

TEST_F(Hierarchy, HasTheTightestQuotaOfBothVersions) {
  write("a/b/cpu.max", "max 100000\n");
  write("a/cpu.max", "50000 100000\n");
  write("cpu.stat", "");
  const CpuQuotas second = read_cpu_quotas(version2());
  ASSERT_TRUE(second.tightest);
  EXPECT_EQ(second.tightest->cpus, 0.5);
  EXPECT_EQ(second.tightest->file, at("a/cpu.max"));
  write("a/cpu.cfs_quota_us", "-1\n");
  write("a/cpu.cfs_period_us", "100000\n");
  const CpuQuotas first = read_cpu_quotas(version1("cpu,cpuacct"));
  EXPECT_TRUE(first.known);
  EXPECT_FALSE(first.tightest);
  EXPECT_FALSE(read_cpu_quotas({}).known);
}

TEST_F(Hierarchy, IsNoneWhereTheTextsSayNothing) {
  write("pids.max", "7\n");
  for (const CgroupTexts& texts :
       {CgroupTexts{}, CgroupTexts{"0::/\n", ""}, CgroupTexts{"", version2().mounts},
        CgroupTexts{"nonsense\n:\n::\n", "1 2 3\n - \n - cgroup2\n"}})
    EXPECT_THAT(read_cgroup_process_limits(texts), IsEmpty());
}

TEST_F(Hierarchy, OfProcShowsTheTasksOfAUser) {
  write("1/status", "Name:\tinit\nUid:\t0\t0\t0\t0\nThreads:\t1\n");
  write("7/status", "Name:\ta\nUid:\t1000\t0\t0\t0\nThreads:\t3\n");
  write("8/status", "Name:\tb\nUid:\t1000\t0\t0\t0\n");
  write("9/status", "");  // has ended
  write("self/status", "Uid:\t1000\t0\t0\t0\nThreads:\t50\n");
  EXPECT_EQ(tasks_of_user(root_, 1'000), 4);
  EXPECT_EQ(tasks_of_user(root_, 0), 1);
  EXPECT_EQ(tasks_of_user(root_, 5), std::nullopt);
  EXPECT_EQ(tasks_of_user(root_ + "/none", 0), std::nullopt);
}

constexpr char kFirstNamespace[] = "         0          0 4294967295\n";

TEST(Rights, AreReadFromStatusAndUidMap) {
  const Rights rights = rights_of(
      "Name:\tlastack\nCapInh:\t0000000000000000\nCapEff:\t0000000000201000\nSeccomp:\t2\n"
      "Seccomp_filters:\t1\n",
      kFirstNamespace);
  EXPECT_TRUE(has_capability(rights, CAP_NET_ADMIN));
  EXPECT_TRUE(has_capability(rights, CAP_SYS_ADMIN));
  EXPECT_FALSE(has_capability(rights, CAP_SYS_RESOURCE));
  EXPECT_TRUE(rights.is_filtered());
  EXPECT_FALSE(rights_of("Seccomp:\t0\n", kFirstNamespace).is_filtered());
}

TEST(Rights, OfACapabilityEndWithTheFirstUserNamespace) {
  const char* status = "CapEff:\t000001ffffffffff\n";
  EXPECT_TRUE(has_capability(rights_of(status, kFirstNamespace), CAP_SYS_ADMIN));
  for (const char* map : {"         0       1000          1\n", "0 0 1\n", "0 0\n", "", "garbage"})
    EXPECT_FALSE(has_capability(rights_of(status, map), CAP_SYS_ADMIN)) << map;
}

TEST(Rights, OfTheHostsRootNeedBoth) {
  Rights rights = rights_of("", kFirstNamespace);
  rights.user = 0;
  EXPECT_TRUE(rights.is_root());
  rights.user = 1;
  EXPECT_FALSE(rights.is_root());
  EXPECT_FALSE(rights_of("", "").in_first_user_namespace.has_value());
}

TEST(Rights, ThatNothingTellsAreNone) {
  const Rights rights = rights_of("CapEff:\tzz\nSeccomp:\n", kFirstNamespace);
  EXPECT_FALSE(rights.capabilities);
  EXPECT_FALSE(rights.seccomp);
  EXPECT_FALSE(has_capability(rights, 0));
  EXPECT_FALSE(rights.is_filtered());
}

TEST(HostMemory, IsReadInBytes) {
  const HostMemory memory =
      host_memory_of("MemTotal: 10 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\nSwapFree: 0 kB\n");
  EXPECT_EQ(memory.available_bytes, 2'048 * 1'024);
  EXPECT_EQ(memory.swap_free_bytes, 0);
  EXPECT_EQ(host_memory_of("MemAvailable: none\n").available_bytes, std::nullopt);
  EXPECT_EQ(host_memory_of("").swap_free_bytes, std::nullopt);
}

TEST(HostFacts, OfThisHostHaveWhatEveryHostHas) {
  const HostFacts facts = read_host_facts({});
  EXPECT_GT(facts.page_bytes, 0);
  EXPECT_GT(facts.online_cpus, 0);
  EXPECT_TRUE(facts.memory.available_bytes);
  EXPECT_TRUE(facts.mapped_bytes);
  EXPECT_TRUE(facts.data_bytes);
  EXPECT_TRUE(facts.sysctls.nr_open);
  EXPECT_TRUE(facts.sysctls.files_in_use);
  EXPECT_TRUE(facts.rights.in_first_user_namespace);
  EXPECT_GT(facts.tasks_of_user, 0);
  EXPECT_NE(facts.kernel_release, "");
}

}  // namespace
}  // namespace lastack::doctor
