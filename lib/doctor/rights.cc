#include "doctor/rights.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <system_error>

#include "base/file.h"
#include "base/proc.h"

namespace lastack::doctor {
namespace {

// user_namespaces(7), uid_map: in the first one every user is itself.
std::optional<bool> is_first_user_namespace(std::string_view uid_map) {
  unsigned inside = 1, outside = 1, count = 0;
  const std::string text(uid_map.substr(0, uid_map.find('\n')));
  if (std::sscanf(text.c_str(), "%u %u %u", &inside, &outside, &count) != 3) return std::nullopt;
  return inside == 0 && outside == 0 && count == std::numeric_limits<unsigned>::max();
}

std::optional<uint64_t> hexadecimal(std::string_view text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

}  // namespace

Rights rights_of(std::string_view status, std::string_view uid_map) {
  Rights rights;
  rights.capabilities = hexadecimal(value_of(status, "CapEff"));
  rights.seccomp = number_of(status, "Seccomp");
  rights.in_first_user_namespace = is_first_user_namespace(uid_map);
  return rights;
}

Rights read_rights() {
  Rights rights = rights_of(read_text("/proc/self/status"), read_text("/proc/self/uid_map"));
  rights.user = getuid();
  std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
  if (!groups.empty())
    groups.resize(static_cast<size_t>(
        std::max(getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
  rights.groups.assign(groups.begin(), groups.end());
  rights.groups.push_back(getegid());
  return rights;
}

bool has_capability(const Rights& rights, int capability) {
  return (rights.capabilities.value_or(0) >> capability & 1) != 0 &&
         rights.in_first_user_namespace.value_or(false);
}

std::optional<int64_t> tasks_of_user(const std::string& proc, int64_t user) {
  std::optional<int64_t> count;
  std::error_code ignored;  // a process may end while the directory is read
  for (auto entry = std::filesystem::directory_iterator(proc, ignored);
       !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = read_text(fmt::format("{}/{}/status", proc, name));
    if (number_of(status, "Uid") != user) continue;
    count = count.value_or(0) + number_of(status, "Threads").value_or(1);
  }
  return count;
}

}  // namespace lastack::doctor
