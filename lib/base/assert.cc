#include "base/assert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"

namespace lastack {

void fail_assertion(const char* place, const char* condition, const char* names,
                    std::span<const int64_t> values) {
  (void)write_all(STDERR_FILENO,
                  fmt::format("lastack: {}: assertion failed: {}; {} = {}\n", place, condition,
                              names, fmt::join(values, ", ")),
                  "standard error");
  std::abort();
}

}  // namespace lastack
