// A run's parameters: what is refused and why, and that printing and reading lose nothing.
#include "plan/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "base/clock.h"
#include "plan/rules.h"
#include "plan/values.h"

namespace lastack {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

size_t strategy_index(std::string_view name) {
  for (size_t i = 0; i < strategies().size(); ++i)
    if (strategies()[i].name == name) return i;
  ADD_FAILURE() << "no strategy " << name;
  return 0;
}

const Parameter& parameter(std::string_view flag) {
  const auto found = std::find_if(parameters().begin(), parameters().end(),
                                  [&](const Parameter& row) { return row.flag == flag; });
  EXPECT_NE(found, parameters().end()) << flag;
  return *found;
}

std::string refusal(const Status& status) { return status ? status->message() : "accepted"; }

std::string mix_refusal(std::string_view text) {
  const auto mix = parse_mix(text);
  return mix ? "accepted" : mix.error().message();
}

std::vector<std::pair<std::string, double>> named_weights(const std::vector<Weight>& mix) {
  std::vector<std::pair<std::string, double>> weights;
  for (const Weight& weight : mix)
    weights.emplace_back(strategies()[weight.strategy].name, weight.weight);
  return weights;
}

std::vector<std::pair<std::string, double>> mix_of(std::string_view text) {
  const auto mix = parse_mix(text);
  EXPECT_TRUE(mix) << text << ": " << mix_refusal(text);
  return mix ? named_weights(*mix) : std::vector<std::pair<std::string, double>>();
}

// Differs from a new RunSpec in every parameter.
RunSpec unusual_spec() {
  RunSpec spec;
  spec.connections = 12'345;
  spec.mix = {{strategy_index("vanish"), 0.125}, {strategy_index("fin"), 1.0 / 3}};
  spec.watches = {Watch::poll_multishot, Watch::recv};
  spec.probes = {Probe::user_timeout, Probe::keepalive};
  spec.probe_settings = {.keepalive_idle_ns = 7 * kSecond_ns,
                         .keepalive_interval_ns = 3 * kSecond_ns,
                         .keepalive_count = 5,
                         .user_timeout_ns = 1234 * kMillisecond_ns,
                         .retries2 = 4,
                         .rto_min_ns = 50 * kMillisecond_ns,
                         .rto_max_ns = 7 * kSecond_ns,
                         .heartbeat_interval_ns = 123 * kMillisecond_ns,
                         .heartbeat_deadline_ns = 456 * kMillisecond_ns,
                         .heartbeats_aligned = true};
  spec.victims.reader_stopped = true;
  spec.survivor = Side::client;
  spec.wait = Wait::spin;
  spec.ring = RingMode::coop;
  spec.victims.direct_descriptors = true;
  spec.victims.idle_policy = true;
  spec.victims.victim_requests = VictimRequests::recv_cancel;
  spec.per_process = 7;
  spec.veth = true;
  spec.victims.cut_for_ns = 1700 * kMillisecond_ns;
  spec.family = Family::inet6;
  spec.arrival = Arrival::poisson;
  spec.arrivals_per_second = 1234.5;
  spec.deadline_ns = 60'000'000'001;
  spec.warm_up_ns = 1500 * kMicrosecond_ns;
  spec.reap_delay_ns = 7 * kMicrosecond_ns;
  spec.reap_instructions = 400;
  spec.traffic.load = Load::echo;
  spec.traffic.round_trips_per_second = 0.1;
  spec.neighbours = 34;
  spec.neighbour_traffic = {Load::bulk, 0};
  spec.cpu_hogs = 3;
  spec.payload_bytes = 3000;
  spec.write_paths = {WritePath::splice, WritePath::write_call};
  spec.writing.poisson_writes = true;
  spec.writing.writes_per_second = 2.5;
  spec.writing.before_write = BeforeWrite::recv;
  spec.writing.sigpipe = SigpipeMode::signalfd;
  spec.shards = 3;
  spec.seed = 999'999'999'999;
  spec.host_network = true;
  spec.keep_events = true;
  spec.expect = {{strategy_index("silent"), Finding::etimedout},
                 {strategy_index("fin"), Finding::eof}};
  spec.expect_sigpipe = {{WritePath::send, true}};
  return spec;
}

TEST(ParseMix, TakesNamesWithAndWithoutWeights) {
  EXPECT_THAT(mix_of("fin=40,silent,rst-linger=0.5"),
              ElementsAre(Pair("fin", 40), Pair("silent", 1), Pair("rst-linger", 0.5)));
}

TEST(ParseMix, AllNamesEveryStrategyOnceButTheControl) {
  const auto mix = mix_of("all=2");
  ASSERT_EQ(mix.size(), strategies().size() - 1);
  for (size_t i = 0; i < mix.size(); ++i)
    EXPECT_THAT(mix[i], Pair(std::string(strategies()[close_strategies()[i]].name), 2));
}

TEST(ParseMix, DropsWhatWeighsNothing) {
  EXPECT_THAT(mix_of("fin=0,silent=3,destroy=0"), ElementsAre(Pair("silent", 3)));
}

TEST(ParseMix, NamesTheNearestOfAnUnknownStrategy) {
  EXPECT_THAT(mix_refusal("fin=1,rst-lingre=2"),
              AllOf(HasSubstr("unknown strategy 'rst-lingre'"),
                    HasSubstr("did you mean 'rst-linger'?"), HasSubstr("allowed: fin, fin-data")));
  EXPECT_THAT(mix_refusal("fin,"), HasSubstr("unknown strategy ''"));
  EXPECT_THAT(mix_refusal("=5"), HasSubstr("unknown strategy ''"));
}

TEST(ParseMix, RefusesWeightsThatAreNoNumbers) {
  for (const char* weight : {"", "x", "-1", "1k", "1=2", "nan", "1e3"})
    EXPECT_THAT(mix_refusal(std::string("fin=") + weight),
                HasSubstr("'" + std::string(weight) + "' is not a weight"));
}

TEST(ParseMix, RefusesASumOfNothing) {
  for (const char* text : {"", "fin=0", "fin=0,silent=0", "all=0"})
    EXPECT_THAT(mix_refusal(text), HasSubstr("sums to nothing")) << text;
}

TEST(ParseMix, RefusesAStrategyNamedTwice) {
  EXPECT_THAT(mix_refusal("fin=1,silent,fin=2"), HasSubstr("strategy 'fin' is named twice"));
  EXPECT_THAT(mix_refusal("fin=0,fin=1"), HasSubstr("strategy 'fin' is named twice"));
  EXPECT_THAT(mix_refusal("all,silent"), HasSubstr("strategy 'silent' is named twice"));
  EXPECT_THAT(mix_refusal("silent,all"), HasSubstr("strategy 'silent' is named twice"));
  EXPECT_THAT(mix_refusal("all,all"), HasSubstr("is named twice"));
}

TEST(EffectiveMix, OfNoMixIsEveryStrategyAlike) {
  EXPECT_EQ(named_weights(effective_mix(RunSpec())), mix_of("all"));
  RunSpec spec;
  spec.mix = {{strategy_index("silent"), 5}};
  EXPECT_THAT(named_weights(effective_mix(spec)), ElementsAre(Pair("silent", 5)));
}

TEST(ParseArrival, TakesEverySchedule) {
  RunSpec spec;
  EXPECT_EQ(refusal(parse_arrival(spec, "rate=5k/s")), "accepted");
  EXPECT_EQ(spec.arrival, Arrival::constant);
  EXPECT_EQ(spec.arrivals_per_second, 5000);
  EXPECT_EQ(refusal(parse_arrival(spec, "poisson=0.5/s")), "accepted");
  EXPECT_EQ(spec.arrival, Arrival::poisson);
  EXPECT_EQ(spec.arrivals_per_second, 0.5);
  EXPECT_EQ(refusal(parse_arrival(spec, "storm")), "accepted");
  EXPECT_EQ(spec.arrival, Arrival::storm);
  EXPECT_EQ(spec.arrivals_per_second, 0);
}

TEST(ParseArrival, RefusesTheRestAndChangesNothing) {
  RunSpec spec;
  ASSERT_EQ(refusal(parse_arrival(spec, "rate=5k/s")), "accepted");
  for (const char* text : {"", "Storm", "storm ", "5k/s", "rate", "poison=5/s"})
    EXPECT_THAT(refusal(parse_arrival(spec, text)), HasSubstr("is not a schedule")) << text;
  for (const char* text : {"rate=", "rate=0/s", "poisson=5", "poisson=-1/s"})
    EXPECT_THAT(refusal(parse_arrival(spec, text)), HasSubstr("is not a rate")) << text;
  EXPECT_EQ(spec.arrival, Arrival::constant);
  EXPECT_EQ(spec.arrivals_per_second, 5000);
}

TEST(Parameters, AreFlagsWithDifferentNamesAndHelp) {
  std::map<std::string_view, int> times;
  for (const Parameter& row : parameters()) {
    EXPECT_TRUE(row.flag.starts_with("--")) << row.flag;
    EXPECT_FALSE(row.help.empty()) << row.flag;
    EXPECT_EQ(row.placeholder.empty(), row.access.kind == ParameterKind::flag) << row.flag;
    EXPECT_EQ(++times[row.flag], 1) << row.flag;
  }
}

TEST(Parameters, UnusualSpecDiffersFromTheDefaultInEach) {
  // Otherwise the tests below would prove nothing of a new parameter.
  for (const Parameter& row : parameters())
    EXPECT_NE(row.access.print(unusual_spec()), row.access.print(RunSpec())) << row.flag;
}

TEST(Parameters, ReadingWhatWasPrintedChangesNothing) {
  for (const Parameter& row : parameters()) {
    RunSpec spec = unusual_spec();
    EXPECT_EQ(refusal(row.access.read(spec, row.access.print(spec))), "accepted") << row.flag;
    EXPECT_TRUE(spec == unusual_spec()) << row.flag;
  }
}

TEST(Parameters, ReadingOneChangesThatOneAlone) {
  for (const Parameter& changed : parameters()) {
    RunSpec spec;
    EXPECT_EQ(refusal(changed.access.read(spec, changed.access.print(unusual_spec()))), "accepted");
    for (const Parameter& row : parameters())
      EXPECT_EQ(row.access.print(spec),
                row.access.print(&row == &changed ? unusual_spec() : RunSpec()))
          << row.flag << " after " << changed.flag;
  }
}

TEST(Parameters, RefusingLeavesTheSpecAsItWas) {
  for (const Parameter& row : parameters()) {
    RunSpec spec = unusual_spec();
    EXPECT_NE(refusal(row.access.read(spec, "no such value")), "accepted") << row.flag;
    EXPECT_TRUE(spec == unusual_spec()) << row.flag;
  }
}

TEST(Parameters, EveryNameOfEveryTableIsRead) {
  RunSpec spec;
  for (const WatchRow& row : watches()) {
    EXPECT_EQ(refusal(parameter("--watch").access.read(spec, row.name)), "accepted");
    EXPECT_THAT(spec.watches, ElementsAre(row.id));
  }
  for (const ProbeRow& row : probes()) {
    EXPECT_EQ(refusal(parameter("--probe").access.read(spec, row.name)), "accepted");
    EXPECT_THAT(spec.probes, ElementsAre(row.id));
  }
  for (const RingModeRow& row : ring_modes()) {
    EXPECT_EQ(refusal(parameter("--ring").access.read(spec, row.name)), "accepted");
    EXPECT_EQ(spec.ring, row.id);
  }
}

TEST(Parameters, ListsRefuseTheUnknownTheDoubleAndTheEmpty) {
  RunSpec spec;
  EXPECT_THAT(refusal(parameter("--watch").access.read(spec, "recv,pol")),
              HasSubstr("unknown watch 'pol' (did you mean 'poll'?)"));
  EXPECT_THAT(refusal(parameter("--watch").access.read(spec, "recv,poll,recv")),
              HasSubstr("watch 'recv' is named twice"));
  EXPECT_THAT(refusal(parameter("--probe").access.read(spec, "")), HasSubstr("no probe given"));
  EXPECT_THAT(refusal(parameter("--expect").access.read(spec, "fin")),
              HasSubstr("STRATEGY=FINDING"));
  EXPECT_THAT(refusal(parameter("--expect").access.read(spec, "fin=eoff")), HasSubstr("'eof'"));
  EXPECT_THAT(refusal(parameter("--expect").access.read(spec, "finn=eof")), HasSubstr("'fin'"));
}

struct OutOfRange {
  const char* flag;
  const char* text;
};

TEST(Parameters, NumbersKeepTheirRange) {
  for (const auto& [flag, text] : std::vector<OutOfRange>{
           {"--connections", "0"},
           {"--connections", "4000001"},
           {"--deadline", "999us"},
           {"--deadline", "1441min"},
           {"--payload", "0"},
           {"--payload", "1048577"},
           {"--warm-up", "1441min"},
           {"--keepalive-idle", "0"},
           {"--keepalive-idle", "32768s"},
           {"--keepalive-interval", "500ms"},
           {"--keepalive-count", "0"},
           {"--keepalive-count", "128"},
           {"--user-timeout", "999us"},
           {"--shards", "513"},
           {"--seed", "1000000000001"},
       }) {
    RunSpec spec;
    EXPECT_THAT(refusal(parameter(flag).access.read(spec, text)), HasSubstr("out of range"))
        << flag << " " << text;
  }
}

TEST(Parameters, KernelTimersKeepTheKernelsUnits) {
  for (const auto& [flag, text] : std::vector<OutOfRange>{{"--keepalive-idle", "1500ms"},
                                                          {"--keepalive-interval", "1.001s"},
                                                          {"--user-timeout", "1500us"}}) {
    RunSpec spec;
    EXPECT_THAT(refusal(parameter(flag).access.read(spec, text)), HasSubstr("not a multiple of"))
        << flag << " " << text;
  }
}

TEST(Parameters, IdleLoadForgetsTheRateOfAnEarlierEcho) {
  RunSpec spec;
  ASSERT_EQ(refusal(parameter("--load").access.read(spec, "echo=5k/s")), "accepted");
  EXPECT_EQ(spec.traffic.round_trips_per_second, 5000);
  ASSERT_EQ(refusal(parameter("--load").access.read(spec, "idle")), "accepted");
  EXPECT_EQ(spec.traffic.load, Load::idle);
  EXPECT_EQ(spec.traffic.round_trips_per_second, 0);
}

TEST(ReadSpec, IsTheInverseOfPrintSpec) {
  const auto spec = read_spec(print_spec(unusual_spec()));
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_TRUE(*spec == unusual_spec());
  EXPECT_EQ(print_spec(*spec), print_spec(unusual_spec()));
}

TEST(ReadSpec, MakesTheDefaultAgainWithItsMixSpelledOut) {
  const auto spec = read_spec(print_spec(RunSpec()));
  ASSERT_TRUE(spec) << spec.error().message();
  RunSpec wanted;
  wanted.mix = *parse_mix("all");
  EXPECT_TRUE(*spec == wanted);
}

TEST(ReadSpec, OfNothingIsTheDefault) {
  const auto spec = read_spec({});
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_TRUE(*spec == RunSpec());
}

TEST(ReadSpec, NamesTheParameterThatItRefuses) {
  EXPECT_THAT(read_spec({{"connection", "5"}}).error().message(),
              HasSubstr("unknown parameter connection"));
  EXPECT_THAT(read_spec({{"seed", "5"}, {"deadline", "5"}}).error().message(),
              AllOf(HasSubstr("--deadline"), HasSubstr("'5' is not a duration")));
}

RunSpec small_spec(int64_t connections, std::string_view mix) {
  RunSpec spec;
  spec.connections = connections;
  spec.mix = *parse_mix(mix);
  return spec;
}

TEST(CheckSpec, TakesTheDefaultAndTheUnusual) {
  EXPECT_EQ(refusal(check_spec(RunSpec())), "accepted");
  RunSpec unusual = unusual_spec();
  unusual.veth = false;  // contradicts its IPv6
  // A writer cannot stand beside its load.
  unusual.write_paths = RunSpec().write_paths;
  unusual.writing.poisson_writes = false;
  unusual.writing.writes_per_second = RunSpec().writing.writes_per_second;
  unusual.writing.before_write = BeforeWrite::none;
  unusual.writing.sigpipe = SigpipeMode::handler;
  unusual.expect_sigpipe.clear();
  // Nor does a stopped reader, and the host's sysctls stay as they are.
  unusual.victims.reader_stopped = false;
  unusual.host_network = false;
  EXPECT_EQ(refusal(check_spec(unusual)), "accepted");
}

TEST(CheckSpec, VethNeedsNamespacesAndIpv4) {
  RunSpec spec;
  spec.veth = true;
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
  spec.family = Family::inet6;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("--family inet6"));
  spec.host_network = true;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("--host-network"));
}

TEST(CheckSpec, WantsAConnectionForEachRow) {
  RunSpec spec = small_spec(7, "fin,silent");
  spec.watches = {Watch::recv, Watch::poll};
  spec.probes = {Probe::none, Probe::keepalive};
  EXPECT_THAT(refusal(check_spec(spec)),
              AllOf(HasSubstr("--connections 7"), HasSubstr("at least 8")));
  spec.connections = 8;
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");

  RunSpec every_strategy;
  every_strategy.connections = static_cast<int64_t>(close_strategies().size()) - 1;
  EXPECT_THAT(refusal(check_spec(every_strategy)), HasSubstr("is fewer than"));
}

TEST(CheckSpec, WantsADeadlineThatTheProbeCanMeet) {
  RunSpec spec = small_spec(10, "silent");
  spec.probes = {Probe::none, Probe::keepalive};
  spec.deadline_ns = 3 * kSecond_ns - 1;
  EXPECT_THAT(refusal(check_spec(spec)),
              AllOf(HasSubstr("--deadline 2999999999ns"), HasSubstr("3s"), HasSubstr("keepalive")));
  spec.deadline_ns = 3 * kSecond_ns;
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");

  spec.probes = {Probe::user_timeout};
  spec.deadline_ns = 2 * kSecond_ns - 1;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("user-timeout"));
  spec.probes = {Probe::none};
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
}

TEST(CheckSpec, WantsOfAnEngineOnlyWhatItCanDo) {
  RunSpec spec = small_spec(10, "fin");
  spec.watches = {Watch::late};
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
  spec.traffic.load = Load::echo;
  spec.traffic.round_trips_per_second = 100;
  EXPECT_THAT(refusal(check_spec(spec)), AllOf(HasSubstr("--load"), HasSubstr("--watch late")));
  spec.traffic.load = Load::idle;
  spec.deadline_ns = 100 * kSecond_ns / 1000;
  EXPECT_THAT(refusal(check_spec(spec)), AllOf(HasSubstr("--deadline 100ms"), HasSubstr("500ms")));

  spec = small_spec(10, "fin");
  spec.watches = {Watch::blocking};
  spec.wait = Wait::spin;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("--wait spin has no meaning for --watch"));
  spec.wait = Wait::block;
  spec.ring = RingMode::coop;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("--ring coop"));
  spec.watches = {Watch::recv};
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
}

TEST(CheckSpec, WantsNoMoreShardsThanConnections) {
  RunSpec spec = small_spec(4, "fin");
  spec.shards = 5;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("--shards 5 is more than --connections 4"));
  spec.shards = 4;
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
}

TEST(CheckSpec, WantsAScheduleOfAtMostADay) {
  RunSpec spec = small_spec(86'400, "fin");
  ASSERT_EQ(refusal(parse_arrival(spec, "rate=1/s")), "accepted");
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
  spec.connections += 1;
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("at most a day"));
  ASSERT_EQ(refusal(parse_arrival(spec, "poisson=1/s")), "accepted");
  EXPECT_THAT(refusal(check_spec(spec)), HasSubstr("at most a day"));
  ASSERT_EQ(refusal(parse_arrival(spec, "storm")), "accepted");
  EXPECT_EQ(refusal(check_spec(spec)), "accepted");
}

TEST(WaitName, IsTheOneOfItsValue) {
  EXPECT_EQ(wait_name(Wait::block), "block");
  EXPECT_EQ(wait_name(Wait::spin), "spin");
}

std::string refusal_of(std::initializer_list<std::pair<std::string_view, std::string_view>> given) {
  RunSpec spec;
  for (const auto& [flag, text] : given)
    if (const Status bad = parameter(flag).access.read(spec, text)) return bad->message();
  const Status bad = check_spec(spec);
  return bad ? bad->message() : "accepted";
}

TEST(Writers, TheirOptionsAreReadAndPrinted) {
  const std::pair<std::string_view, std::string_view> kValues[] = {
      {"--write-path", "send,write-linked,sendfile"},
      {"--write-rate", "rate=2.5/s"},
      {"--write-rate", "poisson=10/s"},
      {"--write-rate", "max"},
      {"--before-write", "poll"},
      {"--sigpipe", "default"},
      {"--expect", "fin=eof,write=no-sigpipe,send=sigpipe"}};
  for (const auto& [flag, text] : kValues) {
    RunSpec spec;
    EXPECT_EQ(refusal(parameter(flag).access.read(spec, text)), "accepted") << flag;
    EXPECT_EQ(parameter(flag).access.print(spec), text);
  }
  RunSpec spec;
  EXPECT_EQ(refusal(parameter("--write-path").access.read(spec, "all")), "accepted");
  EXPECT_EQ(spec.write_paths.size(), write_paths().size());
}

TEST(Writers, RefuseWhatIsNoValue) {
  EXPECT_THAT(refusal_of({{"--write-path", "sendfle"}}), HasSubstr("did you mean 'sendfile'"));
  EXPECT_THAT(refusal_of({{"--write-rate", "10/s"}}),
              HasSubstr("allowed: rate=RATE, poisson=RATE (rate=10/s), max"));
  EXPECT_THAT(refusal_of({{"--sigpipe", "kill"}}), HasSubstr("default"));
  EXPECT_THAT(refusal_of({{"--expect", "fin=sigpipe"}}), HasSubstr("unknown write path 'fin'"));
  EXPECT_THAT(refusal_of({{"--expect", "write=sigpipe,write=no-sigpipe"}}),
              HasSubstr("write path 'write' is named twice"));
}

TEST(Writers, RefuseWhatContradictsItself) {
  EXPECT_THAT(refusal_of({{"--write-path", "write"}}), HasSubstr("are for --watch writer"));
  EXPECT_THAT(refusal_of({{"--sigpipe", "ignore"}}), HasSubstr("are for --watch writer"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"}, {"--ring", "sqpoll"}}),
              HasSubstr("allowed: --write-path write-sqpoll"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"}, {"--descriptors", "direct"}}),
              HasSubstr("allowed: plain"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"}, {"--sigpipe", "default"}}),
              HasSubstr("allowed: at most 2k connections"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"},
                          {"--connections", "1k"},
                          {"--write-path", "write-linked"},
                          {"--sigpipe", "default"}}),
              HasSubstr("cannot tell what --write-path write-linked had accepted"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"},
                          {"--connections", "1k"},
                          {"--write-path", "sendfile"},
                          {"--sigpipe", "default"}}),
              HasSubstr("cannot tell what --write-path sendfile had accepted"));
  EXPECT_THAT(
      refusal_of({{"--watch", "writer"}, {"--write-path", "splice"}, {"--payload", "1MiB"}}),
      HasSubstr("allowed: at most 512KiB"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"}, {"--expect", "write=sigpipe"}}),
              HasSubstr("--expect names write path 'write', which --write-path does not"));
  EXPECT_THAT(refusal_of({{"--expect", "write=sigpipe"}}), HasSubstr("are for --watch writer"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"}, {"--write-rate", "rate=0.0001/s"}}),
              HasSubstr("less than one write an hour"));
  EXPECT_THAT(refusal_of({{"--watch", "writer"}, {"--load", "echo=1/s"}}),
              HasSubstr("cannot run over --watch writer"));
  EXPECT_EQ(refusal_of({{"--watch", "recv,writer"}, {"--write-path", "all"}}), "accepted");
}

TEST(Sysctls, AreThoseThatTheKernelHasOtherwiseInItsUnits) {
  RunSpec spec;
  EXPECT_TRUE(timer_sysctls(spec).empty());
  spec.probe_settings.retries2 = 3;
  spec.probe_settings.rto_min_ns = 50 * kMillisecond_ns;
  spec.probe_settings.rto_max_ns = 7 * kSecond_ns;
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Sysctl& sysctl : timer_sysctls(spec)) pairs.emplace_back(sysctl.name, sysctl.value);
  EXPECT_THAT(pairs, ElementsAre(Pair("net/ipv4/tcp_retries2", "3"),
                                 Pair("net/ipv4/tcp_rto_min_us", "50000"),
                                 Pair("net/ipv4/tcp_rto_max_ms", "7000")));
}

}  // namespace
}  // namespace lastack
