// Limits of a process (setrlimit(2)).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace lastack {

struct Limit {
  std::string name;  // "open_files", "memlock"
  // -1: no limit; files, or bytes.
  int64_t soft = 0, hard = 0;
  bool operator==(const Limit&) const = default;
};
// Those that decide how large a run may be, as this process has them.
std::vector<Limit> read_limits();
// Raises the soft limits to the hard ones, a small stack's to 8 MiB, and that of CPU time to a
// second less: before a user namespace, in which no limit can be raised. The first one that is
// refused is the Error; it stays as it was.
Status raise_limits();

}  // namespace lastack
