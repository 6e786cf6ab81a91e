// What a run will do first, tried: namespaces, a ring, the calls that wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "plan/spec.h"

namespace lastack::doctor {

// A call by which the processes of a run wait: a filter may deny each of them.
struct WaitRow {
  std::string_view name;
  std::string_view user;  // who needs it
  bool (*used)(const RunSpec& spec);
  std::string_view stand_in;  // what is used in its place; empty: nothing can be
  bool (*attempt)();          // false: errno says why
};
constexpr size_t kWaitRows = 10;
std::span<const WaitRow, kWaitRows> wait_rows();

// What a child process found where the run would be. It comes through a pipe: plain data only.
struct Trial {
  int64_t first_port = 0, last_port = 0;
  std::optional<int64_t> listen_backlog;  // net.core.somaxconn, which is per namespace
  int namespace_error = 0;                // errno of entering the private namespaces
  int ring_error = 0;                     // errno of io_uring_setup
  int enter_error = 0;                    // errno of io_uring_enter, with a request and a time-out
  int wait_errors[kWaitRows] = {};
  bool entered = false;                  // or had not to, with --host-network
  std::optional<bool> rings_are_locked;  // count as locked memory; nullopt: no ring could tell
  char namespace_text[256] = {};
  char sysctl_text[256] = {};
};

// The caller must have one thread, as it forks. The Error: no child process could be had.
Result<Trial> try_in_child(bool host_network);
// What can be seen without one.
Trial trial_from_here();

}  // namespace lastack::doctor
