// How a survivor waits on its socket.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lastack {

enum class Watch : uint8_t { recv, recv_multishot, poll, poll_multishot };

struct WatchRow {
  Watch id;
  std::string_view name;
  std::string_view engine;
  bool reads;      // the armed request itself reads; else it only tells that reading is worth it
  bool multishot;  // one request stays armed for many completions
  std::string_view help;
};

std::span<const WatchRow> watches();
const WatchRow& watch_row(Watch watch);

}  // namespace lastack
