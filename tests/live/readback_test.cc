// The manifest says what a run has, not what it asked for: hosts that refuse, or pretend to do,
// what is asked of them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/affinity.h"
#include "base/file.h"
#include "net/namespaces.h"
#include "program.h"

namespace lastack::live {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

constexpr uint32_t kAnything = 0xffffffff, kNotZero = 0xfffffffe;

// A system call that ends with this errno and does nothing (seccomp(2)), where its second and third
// arguments are these. Errno 0: it pretends to have done it.
struct Denied {
  uint32_t call, second, third;
  int error_number;
};

// Such a host, for Program::Options.
std::function<bool()> deny(const Denied& denied) {
  return [denied] {
    constexpr auto kCall = offsetof(seccomp_data, nr);
    // The lower half: these are small numbers, on a little-endian machine.
    constexpr auto kSecond = offsetof(seccomp_data, args) + 8, kThird = kSecond + 8;
    const auto load = [](size_t at) {
      return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(at));
    };
    const auto unless_equal = [](uint32_t value, uint8_t skip) {
      if (value == kNotZero) return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, skip, 0);
      return value == kAnything ? sock_filter BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0)
                                : sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
    };
    sock_filter code[] = {
        load(kCall),
        unless_equal(denied.call, 5),
        load(kSecond),
        unless_equal(denied.second, 3),
        load(kThird),
        unless_equal(denied.third, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(denied.error_number)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  };
}

Outcome run_where(const std::function<bool()>& before_exec, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"run", "--connections", "40", "--format", "json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(arguments, {.before_exec = before_exec});
}

TEST(ReadBack, ARefusedPinIsNotClaimed) {
  const auto usable = usable_cpus(0);
  ASSERT_TRUE(usable);
  if (usable->size() < 2) GTEST_SKIP() << "with one CPU everything is pinned";
  const Outcome outcome = run_where(deny({SYS_sched_setaffinity, kAnything, kAnything, EPERM}),
                                    {"--mix", "rst-linger", "--deadline", "5s"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json run = outcome.json();
  for (const Json& thread : run["environment"]["threads"]) {
    EXPECT_TRUE(thread["cpu"].is_null()) << thread.dump();
    EXPECT_EQ(thread["cpus"], cpu_list(*usable));
  }
  EXPECT_THAT(notes_of(run), AllOf(HasSubstr("2 of 2 workers are not pinned as planned"),
                                   HasSubstr("sched_setaffinity: EPERM")));
}

TEST(ReadBack, APretendedPinIsNotClaimedEither) {
  const auto usable = usable_cpus(0);
  ASSERT_TRUE(usable);
  if (usable->size() < 2) GTEST_SKIP() << "with one CPU everything is pinned";
  const Json run = run_where(deny({SYS_sched_setaffinity, kAnything, kAnything, 0}),
                             {"--mix", "rst-linger", "--deadline", "5s"})
                       .json();
  EXPECT_TRUE(run["environment"]["threads"][0]["cpu"].is_null());
  EXPECT_THAT(notes_of(run), HasSubstr("it was moved since"));
}

TEST(ReadBack, WhatARunHasIsInItsManifest) {
  const Json run = run_json({"--connections", "60", "--mix", "alive", "--probe",
                             "none,keepalive,keepalive+user-timeout", "--keepalive-idle", "2s",
                             "--keepalive-interval", "1s", "--keepalive-count", "3",
                             "--user-timeout", "4s", "--deadline", "5s"});
  const Json& environment = run["environment"];
  std::map<std::string, Json> by_probe;
  for (const Json& socket : environment["tcp"]["sockets"]) {
    EXPECT_EQ(socket["congestion_control"], environment["tcp"]["congestion_control"]);
    EXPECT_GT(socket["send_buffer_bytes"], 0);
    EXPECT_GT(socket["receive_buffer_bytes"], 0);
    if (socket["role"] == "survivor") by_probe[socket["probe"]] = socket;
  }
  ASSERT_EQ(by_probe.size(), 3u) << environment["tcp"]["sockets"].dump(1);
  EXPECT_EQ(by_probe["none"]["keepalive"], false);
  EXPECT_TRUE(by_probe["none"]["keepalive_idle_s"].is_null());
  EXPECT_TRUE(by_probe["keepalive"]["user_timeout_ms"].is_null());
  const Json& both = by_probe["keepalive+user-timeout"];
  EXPECT_EQ(both["keepalive"], true);
  EXPECT_EQ(both["keepalive_idle_s"], 2);
  EXPECT_EQ(both["keepalive_interval_s"], 1);
  EXPECT_EQ(both["keepalive_count"], 3);
  EXPECT_EQ(both["user_timeout_ms"], 4000);

  const Json& limits = environment["limits"]["of_run"];
  EXPECT_EQ(limits["open_files_soft"], limits["open_files_hard"]);
  EXPECT_EQ(limits["memlock_soft"], limits["memlock_hard"]);
  const Json& rings = environment["io_uring"]["rings"];
  EXPECT_THAT(rings["survivor"]["flags"], Contains("DEFER_TASKRUN"));
  EXPECT_THAT(rings["victim"]["flags"], Contains("SINGLE_ISSUER"));
  EXPECT_GE(rings["survivor"]["completion_entries"], 512);
  for (const Json& thread : environment["threads"]) {
    EXPECT_EQ(thread["cpus"], std::to_string(thread["cpu"].get<int>()));
    EXPECT_EQ(thread["policy"], "other");
  }
}

TEST(ReadBack, VictimsAreIdleWhereThatWasAskedFor) {
  for (const char* mix : {"rst-linger", "sigkill"}) {
    const Json run = run_json({"--mix", mix, "--victim-policy", "idle", "--deadline", "5s"});
    ASSERT_FALSE(run["environment"]["threads"].empty());
    for (const Json& thread : run["environment"]["threads"])
      EXPECT_EQ(thread["policy"], thread["role"] == "victim" ? "idle" : "other") << mix;
    EXPECT_THAT(notes_of(run), Not(HasSubstr("scheduled otherwise"))) << mix;
  }
}

TEST(ReadBack, ATimerThatIsNotSetEndsTheRun) {
  const Outcome outcome = run_where(deny({SYS_setsockopt, IPPROTO_TCP, TCP_KEEPIDLE, 0}),
                                    {"--mix", "alive", "--probe", "keepalive", "--deadline", "3s"});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.out;
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr("TCP_KEEPIDLE 7200 and not 1"));
}

TEST(ReadBack, CongestionControlIsThatOfTheSockets) {
  const Json run = run_where(deny({SYS_setsockopt, IPPROTO_TCP, TCP_CONGESTION, EPERM}),
                             {"--mix", "rst-linger", "--deadline", "5s"})
                       .json();
  const Json& tcp = run["environment"]["tcp"];
  const std::string inherited = tcp["sysctls"]["net/ipv4/tcp_congestion_control"];
  EXPECT_EQ(tcp["congestion_control"], inherited);
  const bool said = notes_of(run).find("congestion control " + inherited) != std::string::npos;
  EXPECT_EQ(said, inherited != "cubic");
}

TEST(ReadBack, ARefusedSendBufferIsAnError) {
  // On the host's network: making namespaces sets the option of a netlink socket.
  for (const std::vector<std::string>& where :
       {std::vector<std::string>{"--host-network", "--reader", "stopped", "--mix", "alive"},
        std::vector<std::string>{"--host-network", "--mix", "sigkill-sending"}}) {
    const Outcome outcome = run_where(deny({SYS_setsockopt, SOL_SOCKET, SO_SNDBUF, EPERM}), where);
    EXPECT_EQ(outcome.exit_code, 3) << where.back() << outcome.out;
    EXPECT_THAT(outcome.out + outcome.err, HasSubstr("SO_SNDBUF")) << where.back();
  }
}

// Without the state nobody knows whether a read of 0 was a FIN.
TEST(ReadBack, ARefusedLookAtAnEndedConnectionIsAnError) {
  const Outcome outcome = run_where(deny({SYS_getsockopt, IPPROTO_TCP, TCP_INFO, EPERM}),
                                    {"--mix", "fin", "--deadline", "5s"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.json()["error"].dump(),
              HasSubstr("getsockopt TCP_INFO or SO_ERROR of an ended connection: Operation not"));
}

TEST(ReadBack, ALimitThatCannotBeRaisedIsNoted) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const auto lowered = [limit, denied = deny({SYS_prlimit64, RLIMIT_NOFILE, kNotZero, EPERM})] {
    const rlimit half{limit.rlim_max / 2, limit.rlim_max};
    // With a null pointer there, it is getrlimit(3).
    return setrlimit(RLIMIT_NOFILE, &half) == 0 && denied();
  };
  const Json run = run_where(lowered, {"--mix", "rst-linger", "--deadline", "5s"}).json();
  EXPECT_THAT(notes_of(run), HasSubstr("a limit stays as it is: "));
}

TEST(ReadBack, ANiceRunSaysSo) {
  const Json run =
      run_where([] { return nice(3) != -1; }, {"--mix", "rst-linger", "--deadline", "5s"}).json();
  EXPECT_THAT(notes_of(run), HasSubstr("2 of 2 workers are scheduled otherwise than usual"));
  EXPECT_GE(run["environment"]["threads"][0]["nice"], 3);
}

TEST(ReadBack, TimersOfAHostThatArePredictedOtherwiseEndTheRun) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "a sanitizer's thread is in the way";
  const auto host = [] {
    return !enter_private_namespaces() && !write_sysctls({{"net/ipv4/tcp_retries2", "5"}});
  };
  const Outcome wrong = run_where(
      host, {"--mix", "alive", "--host-network", "--probe", "user-timeout", "--deadline", "4s"});
  EXPECT_EQ(wrong.exit_code, 1) << wrong.out;
  EXPECT_THAT(wrong.out + wrong.err,
              HasSubstr("net/ipv4/tcp_retries2 is 5 where the run is, and --retries2 counts with "
                        "15"));
  // Where no prediction counts with it, it is said.
  const Outcome noted =
      run_where(host, {"--mix", "rst-linger", "--host-network", "--deadline", "5s"});
  EXPECT_EQ(noted.exit_code, 0) << noted.err;
  EXPECT_THAT(notes_of(noted.json()), HasSubstr("tcp_retries2 is 5"));
}

}  // namespace
}  // namespace lastack::live
