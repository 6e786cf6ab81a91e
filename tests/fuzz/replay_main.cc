// For compilers without libFuzzer: gives each file named on the command line to the fuzz target,
// so that the corpus is a regression test everywhere.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "base/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int count, char** arguments) {
  if (count < 2) {
    fmt::print(stderr, "usage: {} FILE...\n", arguments[0]);
    return 1;  // a replay of nothing would always succeed
  }
  for (int i = 1; i < count; ++i) {
    const auto content = lastack::read_file(arguments[i]);
    if (!content) {
      fmt::print(stderr, "{}\n", content.error().message());
      return 1;
    }
    // Exactly as long as the file: a string's terminator would hide a read past the end.
    const std::vector<uint8_t> input(content->begin(), content->end());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  fmt::print("{} inputs replayed\n", count - 1);
  return 0;
}
