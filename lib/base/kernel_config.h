// Which kernel runs, and the configuration that it was built with.
#pragma once

#include <string>
#include <string_view>

namespace lastack {

struct KernelConfig {
  std::string path;  // "" when none can be read
  std::string text;
};
KernelConfig read_kernel_config();

// "6.18.44-1-amd64": the release of uname(2).
std::string kernel_release();

// Whether the text says OPTION=y.
bool is_set(const KernelConfig& config, std::string_view option);

}  // namespace lastack
