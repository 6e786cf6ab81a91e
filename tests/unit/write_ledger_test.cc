// Whether the sums of a writing survivor add up, from records as its ends leave them.
#include "ledger/write_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "plan/spec.h"
#include "plan/values.h"

namespace lastack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// 3 messages of 1,000 bytes were delivered, a fourth one drew the RST, two more failed.
struct Connection {
  explicit Connection(std::string_view strategy, WritePath path = WritePath::write) {
    row.strategy = static_cast<uint16_t>(parse_mix(strategy)->front().strategy);
    row.watch = Watch::writer;
    row.write_path = path;
    victim.issued_ns = 1'000;
    write.attempted = 6;
    write.accepted = 4;
    write.errors = write.epipes = write.sigpipes = 2;
    write.accepted_after_act = write.accepted_after_fin = 1;
    write.accepted_bytes = 4'000;
    write.accepted_after_act_bytes = 1'000;
    write.first_error = write.second_error = EPIPE;
    write.first_error_ns = 3'000;
    write.second_error_ns = 4'000;
    write.has_tail = true;
    write.tail_state = kTcpClose;
    write.acked_bytes = 3'000;
    write.unacked_bytes = 1'000;
    read.delivered_bytes = 3'000;
    read.received_bytes = 3'000;
    read.told = true;
  }
  std::string add(SigpipeMode mode = SigpipeMode::handler) {
    return add_writes({&row, &victim, &write, &read, write_path_row(row.write_path).raises_sigpipe},
                      mode, sums);
  }

  PlanRow row{};
  VictimEnd victim{};

  WriteRecord write{};
  ReadRecord read{};
  WriteSums sums;
};

// accepted = delivered + lost + queued + untold.
void expect_bytes(const WriteSums& sums, int64_t delivered, int64_t lost, int64_t queued,
                  int64_t untold) {
  EXPECT_EQ(sums.delivered_bytes, delivered);
  EXPECT_EQ(sums.lost_bytes, lost);
  EXPECT_EQ(sums.queued_bytes, queued);
  EXPECT_EQ(sums.untold_bytes, untold);
  EXPECT_EQ(sums.accepted_bytes, delivered + lost + queued + untold);
}

TEST(WriteSums, OfAConnectionThatEndedByAFinAndAnRst) {
  Connection one("fin");
  EXPECT_EQ(one.add(), "");
  expect_bytes(one.sums, 3'000, 1'000, 0, 0);
  EXPECT_EQ(one.sums.lost_after_act_bytes, 1'000);
  EXPECT_EQ(one.sums.unexplained, 0);
  EXPECT_EQ(one.sums.attempted, 6);
  EXPECT_EQ(one.sums.sigpipes, 2);
  EXPECT_EQ(one.sums.sigpipes_predicted, 2);
  EXPECT_EQ(one.sums.sigpipe_connections, 1);
  EXPECT_THAT(one.sums.first_errors, ElementsAre(Pair("EPIPE", 1)));
  EXPECT_THAT(one.sums.by_accepted_after_act, ElementsAre(Pair(1, 1)));
  EXPECT_EQ(one.sums.first_error.min(), 2'000);
  EXPECT_EQ(one.sums.second_error.min(), 3'000);
}

TEST(WriteSums, WhatArrivedAfterTheVictimWasAskedIsLost) {
  Connection one("rst-linger");
  // Its kernel had 2,500, of which 200 were unread; the survivor's kernel has seen 3,000 ACKed.
  one.read.received_bytes = 2'500;
  one.read.unread_bytes = 200;
  one.read.delivered_bytes = 2'300;
  EXPECT_EQ(one.add(), "");
  expect_bytes(one.sums, 2'300, 1'700, 0, 0);
}

TEST(WriteSums, OfAConnectionThatStandsAreQueued) {
  Connection one("silent");
  one.write.tail_state = kTcpEstablished;
  EXPECT_EQ(one.add(), "");
  expect_bytes(one.sums, 3'000, 0, 1'000, 0);
}

TEST(WriteSums, OfAKilledProcessAreUntold) {
  Connection one("sigkill");
  one.read = {};
  one.read.delivered_bytes = 2'000;  // counted; another 1,000 it may have read or not
  EXPECT_EQ(one.add(), "");
  expect_bytes(one.sums, 2'000, 1'000, 0, 1'000);
}

TEST(WriteSums, ALostAckDoesNotUndoARead) {
  Connection one("reboot");
  one.read = {};
  one.read.delivered_bytes = 3'500;
  EXPECT_EQ(one.add(), "");
  expect_bytes(one.sums, 3'500, 500, 0, 0);
}

TEST(WriteSums, WhoNeverReadsIsNotAsked) {
  for (const char* strategy : {"sigkill-unread", "sigkill-sending", "listener-close"}) {
    SCOPED_TRACE(strategy);
    Connection one(strategy);
    one.read = {};
    one.write.acked_bytes += std::string_view(strategy) == "sigkill-unread" ? 1 : 0;
    EXPECT_EQ(one.add(), "");
    expect_bytes(one.sums, 0, 4'000, 0, 0);
  }
}

TEST(WriteSums, TheByteThatStaysUnreadIsNoMessage) {
  Connection one("rst-unread");
  one.write.acked_bytes = 1;
  one.write.unacked_bytes = 4'000;
  one.read = {0, 1, 1, true};
  EXPECT_EQ(one.add(), "");
  expect_bytes(one.sums, 0, 4'000, 0, 0);
}

TEST(WriteSums, NoticeEveryByteThatIsMissing) {
  const auto broken = [](auto change) {
    Connection one("fin");
    change(one);
    const std::string wrong = one.add();
    EXPECT_EQ(one.sums.unexplained, wrong.empty() ? 0 : 1);
    EXPECT_EQ(one.sums.unexplained_bytes > 0, !wrong.empty());
    return wrong;
  };
  EXPECT_THAT(broken([](Connection& one) { one.write.accepted_bytes -= 1; }),
              HasSubstr("3999 bytes accepted"));
  EXPECT_THAT(broken([](Connection& one) { one.read.delivered_bytes += 1; }),
              HasSubstr("3001 delivered"));
  EXPECT_THAT(broken([](Connection& one) { one.read.received_bytes -= 1; }),
              HasSubstr("2999 received"));
  EXPECT_THAT(broken([](Connection& one) { one.read.unread_bytes += 1; }), HasSubstr("1 unread"));
  EXPECT_THAT(broken([](Connection& one) { one.write.acked_bytes += 1; }),
              HasSubstr("3001 acknowledged"));
  EXPECT_THAT(broken([](Connection& one) { one.write.has_tail = false; }), HasSubstr("bytes"));
  EXPECT_THAT(broken([](Connection& one) { one.read.told = false; }), HasSubstr("bytes accepted"))
      << "this victim could have been asked";
  EXPECT_THAT(broken([](Connection&) {}), IsEmpty()) << "canary";
}

TEST(WriteSums, NoticeAWriteThatIsMissing) {
  Connection one("fin");
  ++one.write.attempted;
  EXPECT_THAT(one.add(), HasSubstr("7 writes attempted, 4 accepted, 2 failed"));
  EXPECT_EQ(one.sums.unexplained, 1);
}

TEST(WriteSums, NoticeASignalTooManyOrTooFew) {
  for (const uint32_t signals : {1u, 3u}) {
    Connection one("fin");
    one.write.sigpipes = signals;
    EXPECT_THAT(one.add(), HasSubstr("for 2 EPIPEs, 2 predicted"));
  }
  Connection quiet("fin", WritePath::send);
  EXPECT_THAT(quiet.add(), HasSubstr("2 SIGPIPEs for 2 EPIPEs, 0 predicted"));
}

TEST(WriteSums, ASignalWithAShortCountIsOneOfSendfile) {
  for (const WritePath path : {WritePath::sendfile, WritePath::write_call}) {
    Connection one("fin", path);
    one.write.sigpipes = 3;
    one.write.sigpipes_of_short = one.write.short_writes = 1;
    EXPECT_EQ(one.add().empty(), path == WritePath::sendfile);
  }
}

TEST(WriteSums, AKilledProcessCannotHaveReadMoreThanThereWas) {
  Connection one("sigkill");
  one.read = {};
  one.read.delivered_bytes = 4'001;
  EXPECT_THAT(one.add(), HasSubstr("4001 delivered"));
}

TEST(WriteSums, AnIgnoredSignalIsNotCounted) {
  Connection one("fin");
  one.write.sigpipes = 0;
  EXPECT_EQ(one.add(SigpipeMode::ignore), "");
  EXPECT_EQ(one.sums.sigpipes_predicted, 0);
}

}  // namespace
}  // namespace lastack
