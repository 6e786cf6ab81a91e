// The messages between coordinator and workers, and the table that they share.
#include "shard/control.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "shard/table.h"

namespace lastack {
namespace {

std::pair<Channel, Channel> open_channels() { return std::move(*Channel::open_pair()); }

TEST(Channel, MessagesArriveWholeAndInOrder) {
  auto [left, right] = open_channels();
  Message first;
  first.verb = Verb::connect;
  first.count = 2;
  first.value = -7;
  first.total = int64_t{1} << 40;
  first.user_ns = 11;
  first.system_ns = 12;
  first.items[0] = 8080;
  first.items[Message::kMostItems - 1] = 9;
  std::strcpy(first.text, "why");
  Message second;
  second.verb = Verb::quit;
  ASSERT_FALSE(left.send(first));
  ASSERT_FALSE(left.send(second));

  const auto one = right.receive(0);
  ASSERT_TRUE(one);
  ASSERT_TRUE(one->has_value());
  EXPECT_EQ((*one)->verb, Verb::connect);
  EXPECT_EQ((*one)->count, 2u);
  EXPECT_EQ((*one)->value, -7);
  EXPECT_EQ((*one)->total, int64_t{1} << 40);
  EXPECT_EQ((*one)->user_ns, 11);
  EXPECT_EQ((*one)->system_ns, 12);
  EXPECT_EQ((*one)->items[0], 8080u);
  EXPECT_EQ((*one)->items[Message::kMostItems - 1], 9u);
  EXPECT_STREQ((*one)->text, "why");
  const auto two = right.receive(0);
  ASSERT_TRUE(two);
  ASSERT_TRUE(two->has_value());
  EXPECT_EQ((*two)->verb, Verb::quit);
}

// Who is stopped does not stop whoever has something to tell.
TEST(Channel, AReceiverThatDoesNotReadIsAnErrorAndNotAnEndlessWait) {
  auto [left, right] = open_channels();
  Message message;
  int taken = 0;
  Status failed;
  while (!failed && taken < 100'000)
    if (!(failed = left.send(message))) ++taken;
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->error_number, ETIME);
  EXPECT_FALSE(left.has_room());
  // Nothing was lost of what was taken.
  for (int i = 0; i < taken; ++i) ASSERT_TRUE(*right.receive(0));
  EXPECT_FALSE(left.send(message));
  right.close();
  // Gone with one message unread: the kernel says ECONNRESET first.
  for (int i = 0; i < 2; ++i) {
    const auto gone = left.receive(0);
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().error_number, EPIPE);
  }
  const Status unsent = left.send(message);
  ASSERT_TRUE(unsent);
  EXPECT_EQ(unsent->error_number, EPIPE);
}

TEST(Channel, BothDirectionsAreIndependent) {
  auto [left, right] = open_channels();
  Message question, answer;
  question.verb = Verb::prepare;
  answer.verb = Verb::prepared;
  ASSERT_FALSE(left.send(question));
  ASSERT_FALSE(right.send(answer));
  EXPECT_EQ((**left.receive(0)).verb, Verb::prepared);
  EXPECT_EQ((**right.receive(0)).verb, Verb::prepare);
}

TEST(Channel, WithoutAMessageThereIsNothingAtOnceAndNothingAfterTheInstant) {
  auto [left, right] = open_channels();
  const auto at_once = right.receive(0);
  ASSERT_TRUE(at_once);
  EXPECT_FALSE(at_once->has_value());

  const int64_t until_ns = now_ns() + 20 * kMillisecond_ns;
  const auto waited = right.receive(until_ns);
  ASSERT_TRUE(waited);
  EXPECT_FALSE(waited->has_value());
  EXPECT_GE(now_ns(), until_ns);
}

TEST(Channel, AMessageThatComesWhileWaitingIsReceived) {
  auto [left, right] = open_channels();
  std::thread sender([&channel = left] {
    sleep_for(10 * kMillisecond_ns);
    Message message;
    message.verb = Verb::armed;
    EXPECT_FALSE(channel.send(message));
  });
  const auto received = right.receive(now_ns() + 60 * kSecond_ns);
  sender.join();
  ASSERT_TRUE(received);
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ((*received)->verb, Verb::armed);
}

TEST(Channel, AClosedPeerIsAnErrorAfterItsLastMessage) {
  auto [left, right] = open_channels();
  Message last;
  last.verb = Verb::done;
  ASSERT_FALSE(left.send(last));
  left.close();

  const auto received = right.receive(0);
  ASSERT_TRUE(received);
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ((*received)->verb, Verb::done);
  const auto gone = right.receive(0);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().error_number, EPIPE);
  const Status refused = right.send(last);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error_number, EPIPE);
}

TEST(Channel, WaitingEndsWhenThePeerGoes) {
  auto [left, right] = open_channels();
  std::thread closer([&channel = left] {
    sleep_for(10 * kMillisecond_ns);
    // close() alone would race with nothing, but a process that dies shuts its end down as well.
    ::shutdown(channel.descriptor(), SHUT_RDWR);
  });
  const int64_t until_ns = now_ns() + 60 * kSecond_ns;
  const auto gone = right.receive(until_ns);
  closer.join();
  EXPECT_FALSE(gone);
  EXPECT_LT(now_ns(), until_ns);
}

TEST(Channel, AMessageOfAnotherSizeIsAnError) {
  auto [left, right] = open_channels();
  ASSERT_EQ(::send(left.descriptor(), "short", 5, 0), 5);
  const auto received = right.receive(0);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().error_number, EMSGSIZE);
}

TEST(ShardTable, ANewTableHasNoPairsAndNoDescriptors) {
  const auto table = ShardTable::create(3);
  ASSERT_TRUE(table);
  const ShardView& view = table->view();
  EXPECT_EQ(view.header->settings.connections, 3u);
  ASSERT_EQ(view.victims.size(), 3u);
  ASSERT_EQ(view.survivors.size(), 3u);
  for (const VictimEnd& end : view.victims) {
    EXPECT_EQ(end.pair, kNoPair);
    EXPECT_EQ(end.descriptor, -1);
    EXPECT_EQ(end.flags, 0);
    EXPECT_EQ(end.issued_ns, 0);
  }
  for (const SurvivorEnd& end : view.survivors) {
    EXPECT_EQ(end.pair, kNoPair);
    EXPECT_EQ(end.descriptor, -1);
    EXPECT_EQ(end.finding, Finding::nothing);
    EXPECT_EQ(end.found_ns, 0);
  }
  EXPECT_EQ(view.header->progress.found.load(), 0u);
}

TEST(ShardTable, AttachSeesWhatTheOtherSideWrites) {
  const auto made = ShardTable::create(1'000);
  ASSERT_TRUE(made);
  made->view().header->settings.payload_bytes = 7;
  made->view().header->rows[2] = {5, Watch::poll, Probe::keepalive};
  made->view().victims[999].issued_ns = 123;
  made->view().survivors[0].finding = Finding::epipe;
  made->view().survivors[999].found_ns = 456;

  const auto attached = ShardTable::attach(dup(made->descriptor()));
  ASSERT_TRUE(attached);
  const ShardView& view = attached->view();
  ASSERT_NE(view.header, made->view().header);  // another mapping of the same memory
  ASSERT_EQ(view.victims.size(), 1'000u);
  ASSERT_EQ(view.survivors.size(), 1'000u);
  EXPECT_EQ(view.header->settings.payload_bytes, 7);
  EXPECT_EQ(view.header->settings.connections, 1'000u);
  EXPECT_EQ(view.victims[999].issued_ns, 123);
  EXPECT_EQ(view.survivors[0].finding, Finding::epipe);
  EXPECT_EQ(view.survivors[999].found_ns, 456);

  view.victims[999].row = 2;
  EXPECT_EQ(made->view().row_of(made->view().victims[999]).strategy, 5);
  EXPECT_EQ(made->view().row_of(made->view().victims[999]).watch, Watch::poll);
  view.header->progress.found.fetch_add(9);
  EXPECT_EQ(made->view().header->progress.found.load(), 9u);
}

TEST(ShardTable, VictimsAndSurvivorsDoNotOverlap) {
  const auto table = ShardTable::create(2);
  ASSERT_TRUE(table);
  const ShardView& view = table->view();
  EXPECT_GE(static_cast<void*>(view.victims.data()), static_cast<void*>(view.header + 1));
  EXPECT_GE(static_cast<void*>(view.survivors.data()),
            static_cast<void*>(view.victims.data() + view.victims.size()));
}

TEST(ShardTable, OutlivesTheOneThatMadeIt) {
  auto made = ShardTable::create(4);
  ASSERT_TRUE(made);
  made->view().victims[3].scheduled_ns = 77;
  const int descriptor = dup(made->descriptor());
  { const ShardTable ended = std::move(*made); }
  const auto attached = ShardTable::attach(descriptor);
  ASSERT_TRUE(attached);
  EXPECT_EQ(attached->view().victims[3].scheduled_ns, 77);
}

TEST(ShardTable, AttachingToSomethingElseIsAnError) {
  const auto closed = ShardTable::attach(-1);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().error_number, EBADF);

  const Fd small(memfd_create("too-small", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(small.get(), 16), 0);
  const auto refused = ShardTable::attach(small.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error_number, EINVAL);
}

}  // namespace
}  // namespace lastack
