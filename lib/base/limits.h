// The limits of open files and of locked memory, which decide how large a run may be.
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
// As this process has them.
std::vector<Limit> read_limits();
// Raises the soft limits to the hard ones: before a user namespace, in which no limit can be
// raised. The first one that is refused is the Error; it stays as it was.
Status raise_limits();

}  // namespace lastack
