// How a survivor waits on its socket, and the engine that does the waiting.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lastack {

// What a survivors' process is built around: one worker runs exactly one engine.
enum class Engine : uint8_t { io_uring, epoll, select, ppoll, blocking, late, writer };

struct EngineRow {
  Engine id;
  std::string_view name;
  // Connections that one process may hold; 0: only the limit of open files counts.
  uint32_t most_connections;
  bool may_spin;           // --wait spin has a meaning
  bool carries_load;       // the echo load can run over it
  bool only_writes;        // it never waits for its peer, and learns by writing
  std::string_view limit;  // why most_connections; empty when it is 0
  std::string_view help;
};

std::span<const EngineRow> engines();
const EngineRow& engine_row(Engine engine);

enum class Watch : uint8_t {
  recv,
  recv_multishot,
  poll,
  poll_multishot,
  epoll,
  epoll_et,
  select,
  ppoll,
  blocking,
  late,
  writer,
};

struct WatchRow {
  Watch id;
  std::string_view name;
  Engine engine;
  bool reads;      // the wait itself reads; else it only tells that reading is worth it
  bool multishot;  // one request stays armed for many completions
  std::string_view help;
};

std::span<const WatchRow> watches();
const WatchRow& watch_row(Watch watch);

// `late`: the time from hearing of the victim's act to the first write, and between two writes.
// Far above what a packet needs on any path here, so that each write sees what the last one drew.
constexpr int64_t kLateWrite_ns = 50'000'000;
// Two writes, with room for a busy machine: a FIN needs the second one to be noticed.
constexpr int64_t kLateLeastDeadline_ns = 10 * kLateWrite_ns;

}  // namespace lastack
