// The tables of watches and of the engines behind them.
#include "model/watch.h"

#include <gtest/gtest.h>
#include <sys/select.h>

#include <set>

namespace lastack {
namespace {

TEST(Engines, EachHasAHelp) {
  for (const EngineRow& row : engines()) EXPECT_FALSE(row.help.empty()) << row.name;
}

TEST(Engines, ALimitHasAReason) {
  for (const EngineRow& row : engines())
    EXPECT_EQ(row.most_connections > 0, !row.limit.empty()) << row.name;
}

TEST(Engines, SelectLeavesRoomForTheProcessItself) {
  EXPECT_LT(engine_row(Engine::select).most_connections, uint32_t{FD_SETSIZE});
  EXPECT_GE(engine_row(Engine::select).most_connections, 900u);
  EXPECT_GE(engine_row(Engine::blocking).most_connections, 5'000u);
}

TEST(Engines, EachHasAWatch) {
  std::set<Engine> watched;
  for (const WatchRow& row : watches()) watched.insert(row.engine);
  EXPECT_EQ(watched.size(), engines().size());
}

}  // namespace
}  // namespace lastack
