#include "base/kernel_config.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <zlib.h>

#include <array>
#include <memory>

namespace lastack {

// gzread() hands through what is not compressed, so that one reader serves both files.
KernelConfig read_kernel_config() {
  // IKCONFIG_PROC is of the running kernel for certain; a file in /boot only has its name.
  for (const std::string& path :
       {std::string("/proc/config.gz"), "/boot/config-" + kernel_release()}) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "re"), gzclose);
    if (!file) continue;
    std::string text;
    std::array<char, 16384> buffer;
    int got = 0;
    while ((got = gzread(file.get(), buffer.data(), buffer.size())) > 0)
      text.append(buffer.data(), static_cast<size_t>(got));
    if (got == 0 && !text.empty()) return {path, text};
  }
  return {};
}

std::string kernel_release() {
  utsname names{};
  uname(&names);  // fails only for a bad pointer
  return names.release;
}

bool is_set(const KernelConfig& config, std::string_view option) {
  return config.text.find(fmt::format("\n{}=y\n", option)) != std::string::npos;
}

}  // namespace lastack
