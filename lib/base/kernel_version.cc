#include "base/kernel_version.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <charconv>
#include <iterator>

#include "base/file.h"

namespace lastack {

std::string to_text(const KernelVersion& version) {
  if (version.patch == 0) return fmt::format("{}.{}", version.major, version.minor);
  return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}

std::optional<KernelVersion> leading_kernel_version(std::string_view text) {
  KernelVersion version;
  int* const parts[] = {&version.major, &version.minor, &version.patch};
  for (size_t i = 0; i < std::size(parts); ++i) {
    if (i > 0) {
      if (!text.starts_with('.')) return i == 2 ? std::optional(version) : std::nullopt;
      text.remove_prefix(1);
    }
    const char* const end = text.data() + text.size();
    const auto [next, error] = std::from_chars(text.data(), end, *parts[i]);
    if (error != std::errc() || text.starts_with('-')) return std::nullopt;
    text = {next, end};
  }
  return version;
}

KernelNames read_kernel_names() {
  utsname names{};
  uname(&names);  // fails only for a bad pointer
  return {names.release, names.version, read_first_line("/proc/version_signature")};
}

KernelIdentity identify(const KernelNames& names) {
  constexpr std::string_view kDebian = " Debian ";
  if (const size_t at = names.build.find(kDebian); at != std::string::npos)
    if (const auto version = leading_kernel_version(names.build.substr(at + kDebian.size())))
      return {*version, "uname -v", false};
  // Its last word; Ubuntu adds changes of its own to that version.
  if (const size_t at = names.signature.rfind(' '); at != std::string::npos)
    if (const auto version = leading_kernel_version(names.signature.substr(at + 1)))
      return {*version, "/proc/version_signature", true};
  const KernelVersion version = leading_kernel_version(names.release).value_or(KernelVersion());
  const bool plain = names.release.find_first_not_of("0123456789.") == std::string::npos;
  return {version, "uname -r", !plain};
}

bool has_arrived(Arrivals arrivals, const KernelVersion& version) {
  for (const KernelVersion& arrival : arrivals)
    if (arrival.same_series(version)) return version >= arrival;
  return !arrivals.empty() && version > arrivals.back();
}

std::string to_text(Arrivals arrivals) {
  std::string text;
  for (const KernelVersion& arrival : arrivals)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", to_text(arrival));
  return text.empty() ? "none" : text + " and later";
}

}  // namespace lastack
