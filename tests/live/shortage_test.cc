// What a host may lack: the run says which operation failed, with its errno and the cure, and ends
// with exit code 3 in bounded time; nothing is left behind.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/clock.h"
#include "base/file.h"
#include "net/namespaces.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::HasSubstr;

// Generous, and far below what a run that waits for ever would take.
constexpr int64_t kBound_ns = 60 * kSecond_ns;

// Also that it came to an end in time, and all of its processes with it.
Outcome run_bounded(const Words& arguments, const Program::Options& options) {
  Program program(arguments, options);
  std::vector<pid_t> family;
  const pid_t pid = program.pid();
  const int64_t until_ns = now_ns() + kBound_ns;
  while (is_alive(pid) && now_ns() < until_ns) {
    for (const pid_t one : descendants_of(pid)) family.push_back(one);
    sleep_for(20 * kMillisecond_ns);
  }
  const bool ended = !is_alive(pid);
  EXPECT_TRUE(ended);
  if (!ended) kill(pid, SIGKILL);
  Outcome outcome = program.wait();
  EXPECT_TRUE(eventually(5 * kSecond_ns,
                         [&] { return std::none_of(family.begin(), family.end(), is_alive); }));
  return outcome;
}

// ---- Connections that cannot be made --------------------------------------------------------

void take_loopback_down() {
  ifreq request{};
  std::string("lo").copy(request.ifr_name, IFNAMSIZ - 1);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) _exit(125);
}

// The program's --host-network is a network of its own then.
Program::Options own_network(const std::function<void()>& more = {}) {
  return {.before_exec = [more] {
    if (enter_private_namespaces()) return false;
    if (more) more();
    return true;
  }};
}

Program::Options own_network_with(const std::string& sysctl, const std::string& value) {
  return own_network([=] {
    if (write_existing_file("/proc/sys/net/" + sysctl, value)) _exit(125);
  });
}

TEST(NotEstablished, LoopbackIsDown) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  for (const char* survivor : {"server", "client"}) {
    const TemporaryFolder folder;
    const Outcome outcome = run_bounded(
        {"run", "--connections", "50", "--mix", "fin,rst-linger", "--survivor", survivor,
         "--host-network", "--deadline", "1s", "--out", folder.path() + "/out"},
        {.before_exec = [] {  // where lo was never up
          return unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) == 0;
        }});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("50 of 50 connections could not be made"));
    EXPECT_THAT(outcome.err, HasSubstr("ENETUNREACH"));
    EXPECT_THAT(outcome.err, HasSubstr("mend: "));
    EXPECT_THAT(outcome.out, HasSubstr("not established: ENETUNREACH=25"));
    const auto text = read_file(folder.path() + "/out/run.json");
    ASSERT_TRUE(text);
    const auto run = nlohmann::json::parse(*text);
    EXPECT_EQ(run["exit_code"], 3);
    for (const auto& row : run["ledger"]) {
      EXPECT_EQ(row["requested"], 25);
      EXPECT_EQ(row["established"], 0);
      EXPECT_EQ(row["not_established_errors"], nlohmann::json({{"ENETUNREACH", 25}}));
    }
  }
}

// Where lo was up before, packets are dropped without a word.
TEST(NotEstablished, NobodyAnswers) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  const Outcome outcome = run_bounded(
      {"run", "--connections", "100", "--mix", "fin", "--host-network", "--format", "json"},
      own_network(take_loopback_down));
  ASSERT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("100 of 100 connections could not be made"));
  EXPECT_THAT(outcome.err, HasSubstr("ETIMEDOUT"));
  EXPECT_THAT(outcome.err, HasSubstr("net.core.somaxconn"));
  // Those that were in flight, and those whose turn never came.
  const auto errors = outcome.json()["ledger"][0]["not_established_errors"];
  EXPECT_EQ(errors.value("ETIMEDOUT", 0) + errors.value("pending", 0), 100);
  EXPECT_GT(errors.value("ETIMEDOUT", 0), 0);
}

// Thirteen listeners take as many of the twenty ports, and each is reached from the other seven.
TEST(NotEstablished, PortsAreExhausted) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  for (const char* survivor : {"server", "client"}) {
    const Outcome outcome =
        run_bounded({"run", "--connections", "100", "--mix", "fin,rst-linger,sigkill", "--survivor",
                     survivor, "--host-network", "--deadline", "1s", "--format", "json"},
                    own_network_with("ipv4/ip_local_port_range", "40000 40019"));
    ASSERT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("EADDRNOTAVAIL"));
    EXPECT_THAT(outcome.err, HasSubstr("net.ipv4.ip_local_port_range"));
    const auto run = outcome.json();
    EXPECT_EQ(sum_over_rows(run, "established"), 91);
    EXPECT_EQ(sum_over_rows(run, "found"), 91);
    int64_t unavailable = 0;
    for (const auto& row : run["ledger"])
      unavailable += row["not_established_errors"].value("EADDRNOTAVAIL", 0);
    EXPECT_EQ(unavailable, 9);
  }
}

TEST(NotEstablished, NoIpv6OnLoopback) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  const Outcome outcome =
      run_bounded({"run", "--connections", "10", "--mix", "fin", "--family", "inet6",
                   "--host-network", "--deadline", "1s", "--format", "json"},
                  own_network_with("ipv6/conf/lo/disable_ipv6", "1"));
  ASSERT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("bind"));
  EXPECT_THAT(outcome.err, HasSubstr("net.ipv6.conf.lo.disable_ipv6=0"));
  EXPECT_EQ(outcome.json()["ledger"][0]["not_established_errors"]["EADDRNOTAVAIL"], 10);
}

// No more connects are in flight than there is room for: none is dropped and sent again later.
TEST(NotEstablished, ABacklogOfOneIsEnough) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  const Outcome outcome = run_bounded({"run", "--connections", "100", "--mix", "fin",
                                       "--host-network", "--deadline", "1s", "--format", "json"},
                                      own_network_with("core/somaxconn", "1"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(sum_over_rows(outcome.json(), "found"), 100);
}

// Connects to every listener of the namespace of `process` as long as it lives; says how often on
// the pipe.
[[noreturn]] void be_a_stranger(const std::string& process, int told) {
  const std::string path = "/proc/" + process + "/ns/net";
  const int place = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (place < 0 || setns(place, CLONE_NEWNET) != 0) _exit(1);
  for (int made = 0; made < 3;) {
    const auto sockets = read_file("/proc/thread-self/net/tcp");
    unsigned port = 0;
    size_t line = sockets ? sockets->find(" 0100007F:") : std::string::npos;
    for (; line != std::string::npos; line = sockets->find(" 0100007F:", line + 1)) {
      unsigned remote = 0, state = 0;
      if (std::sscanf(sockets->c_str() + line, " 0100007F:%x 00000000:%x %x", &port, &remote,
                      &state) == 3 &&
          state == 10)  // TCP_LISTEN
        break;
    }
    if (line == std::string::npos) continue;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) ++made;
  }
  if (write(told, "3", 1) != 1) _exit(1);
  for (;;) pause();
}

// Whether the stranger found a listener in the time that the run had one; the run is as if it had
// not been there.
bool run_beside_a_stranger() {
  Program program({"run", "--connections", "15k", "--mix", "rst-linger", "--host-network",
                   "--deadline", "5s", "--format", "json"},
                  own_network());
  std::string launcher = "none";
  EXPECT_TRUE(eventually(20 * kSecond_ns, [&] {
    launcher = launcher_of(program);
    return launcher != "none";
  }));
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t stranger = fork();
  if (stranger == 0) be_a_stranger(launcher, ends[1]);
  close(ends[1]);
  const Outcome outcome = program.wait();
  kill(stranger, SIGKILL);
  waitpid(stranger, nullptr, 0);
  char told = 0;
  const bool found = read(ends[0], &told, 1) == 1;
  close(ends[0]);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 3000) << outcome.err;
  if (outcome.exit_code == 0) {
    EXPECT_EQ(sum_over_rows(outcome.json(), "found"), 15'000);
  }
  return found;
}

TEST(NotEstablished, AStrangerTakesNobodysPlace) {
  if (geteuid() != 0 || !kForkedChildMayEnterNamespaces) GTEST_SKIP() << "needs root";
  // A run listens for a fraction of a second, in which a busy host may not let the stranger run.
  constexpr int kTries = 5;
  bool found = false;
  for (int i = 0; i < kTries && !found && !HasFailure(); ++i) found = run_beside_a_stranger();
  EXPECT_TRUE(found) << "the stranger found no listener in " << kTries << " runs";
}

}  // namespace
}  // namespace lastack::live
