// Versions of Linux as kernel.org counts them, and in which of them a change is.
#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lastack {

// 6.1.174; a series is 6.1. A release candidate is taken for the release that it leads to.
struct KernelVersion {
  int major = 0, minor = 0, patch = 0;
  auto operator<=>(const KernelVersion&) const = default;
  bool same_series(const KernelVersion& other) const {
    return major == other.major && minor == other.minor;
  }
};
std::string to_text(const KernelVersion& version);
// The version that a text begins with: "6.1.174-1", "6.18-rc3"; nullopt where there is none.
std::optional<KernelVersion> leading_kernel_version(std::string_view text);

// What names the version of a kernel. Releases of distributions name their ABI instead
// ("6.1.0-49-cloud-amd64" is Linux 6.1.174).
struct KernelNames {
  std::string release;    // uname -r
  std::string build;      // uname -v: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.174-1 (2026-05-26)"
  std::string signature;  // /proc/version_signature: "Ubuntu 6.8.0-45.45-generic 6.8.12"
};
KernelNames read_kernel_names();

struct KernelIdentity {
  KernelVersion version;
  std::string source;  // where it stands: "uname -v"
  // A vendor may have put changes into it, or left them out, that its version does not tell of.
  bool may_differ = false;
};
KernelIdentity identify(const KernelNames& names);

// Where a change arrived: one version for each series that has it, ascending. The last one stands
// for itself and for every later series; an earlier series that is not named does not have it.
using Arrivals = std::span<const KernelVersion>;
bool has_arrived(Arrivals arrivals, const KernelVersion& version);
// "6.1.175, 6.12.86, 7.0 and later".
std::string to_text(Arrivals arrivals);

}  // namespace lastack
