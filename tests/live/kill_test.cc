// SIGKILL at any instant: no process, no namespace, no socket and no half-written file stays.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "program.h"

namespace lastack::live {
namespace {

constexpr int64_t kConnections = 2400;

// Every process that a run of the program under test has started, wherever it hangs now.
std::vector<pid_t> running_workers() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    const auto program = std::filesystem::read_symlink(entry.path() / "exe", gone);
    if (!gone && program == LASTACK_PROGRAM && is_alive(std::stoi(name)))
      found.push_back(std::stoi(name));
  }
  return found;
}

class Kill : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(running_workers().empty());
    orphans_ = sockstat("self", "orphan");
    sysctls_ = read_first_line("/proc/sys/net/ipv4/tcp_orphan_retries") +
               read_first_line("/proc/sys/net/ipv4/ip_local_port_range");
  }

  // Starts a run, kills it when `now` says so, and looks at what is left.
  void kill_when(const std::string& what, const std::function<bool(const Program&)>& now) {
    SCOPED_TRACE(what);
    const std::string out = folder_.path() + "/" + std::to_string(runs_++);
    Program program({"run", "--connections", std::to_string(kConnections), "--schedule",
                     "rate=5k/s", "--deadline", "300ms", "--events", "--out", out});
    EXPECT_TRUE(eventually(20 * kSecond_ns, [&] { return now(program); }));
    kill(program.pid(), SIGKILL);
    program.wait();
    EXPECT_TRUE(eventually(5 * kSecond_ns, [] { return running_workers().empty(); }));
    EXPECT_TRUE(eventually(5 * kSecond_ns, [&] { return sockstat("self", "orphan") <= orphans_; }))
        << "orphans: " << sockstat("self", "orphan") << ", before: " << orphans_;
    EXPECT_EQ(read_first_line("/proc/sys/net/ipv4/tcp_orphan_retries") +
                  read_first_line("/proc/sys/net/ipv4/ip_local_port_range"),
              sysctls_);
    expect_whole_files(out);
  }

  static void expect_whole_files(const std::string& folder) {
    if (!std::filesystem::exists(folder)) return;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      const auto text = read_file(entry.path());
      ASSERT_TRUE(text);
      if (name.ends_with(".tmp")) continue;  // never taken for a result
      if (name == "run.json") {
        EXPECT_TRUE(nlohmann::json::accept(*text));
      }
      if (name == "events.csv") {
        EXPECT_EQ(std::count(text->begin(), text->end(), '\n'), kConnections + 1);
      }
    }
  }

  TemporaryFolder folder_;
  int runs_ = 0;
  int64_t orphans_ = 0;
  std::string sysctls_;
};

TEST_F(Kill, AtEveryPhaseBoundary) {
  kill_when("launcher started", [](const Program& p) { return !children_of(p.pid()).empty(); });
  kill_when("workers started",
            [](const Program& p) { return descendants_of(p.pid()).size() >= 3; });
  kill_when("first connection",
            [](const Program& p) { return snmp(launcher_of(p), "ActiveOpens") > 0; });
  kill_when("all established", [](const Program& p) {
    // The four rows whose path is cut have namespaces of their own.
    return snmp(launcher_of(p), "ActiveOpens") >= kConnections * 20 / 24;
  });
  kill_when("first death", [](const Program& p) { return snmp(launcher_of(p), "OutRsts") > 0; });
  kill_when("half of the deaths",
            [](const Program& p) { return snmp(launcher_of(p), "OutRsts") >= 450; });
  kill_when("all RSTs are out, the silent ones are waited for", [](const Program& p) {
    return snmp(launcher_of(p), "OutRsts") >= 900;  // nine rows of 100
  });
  kill_when("workers gone, results being written", [](const Program& p) {
    static bool seen = false;
    seen = seen || descendants_of(p.pid()).size() >= 3;
    return seen && descendants_of(p.pid()).empty();
  });
}

TEST_F(Kill, AtFiveSeededInstants) {
  Random random{20260101};
  for (int i = 0; i < 5; ++i) {
    const auto after_ns = static_cast<int64_t>(random.below(2'000)) * kMillisecond_ns;
    const int64_t at_ns = now_ns() + after_ns;
    kill_when(fmt::format("after {} ms", after_ns / kMillisecond_ns),
              [&](const Program&) { return now_ns() >= at_ns; });
  }
}

}  // namespace
}  // namespace lastack::live
