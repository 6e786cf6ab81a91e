// The configuration that the running kernel was built with.
#pragma once

#include <string>
#include <string_view>

namespace lastack {

struct KernelConfig {
  std::string path;  // "" when none can be read
  std::string text;
};
KernelConfig read_kernel_config(const std::string& release);

// Whether the text says OPTION=y.
bool is_set(const KernelConfig& config, std::string_view option);

}  // namespace lastack
