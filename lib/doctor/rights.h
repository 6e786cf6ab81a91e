// What a process may do: its user, capabilities, groups, user namespace and system call filter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lastack::doctor {

struct Rights {
  int64_t user = -1;  // the real one
  std::vector<int64_t> groups;
  std::optional<uint64_t> capabilities;         // the effective ones
  std::optional<bool> in_first_user_namespace;  // the host's
  std::optional<int64_t> seccomp;               // proc_pid_status(5): 2 is a filter

  // The host's root, whom some limits do not hold.
  bool is_root() const { return user == 0 && in_first_user_namespace.value_or(false); }
  bool is_filtered() const { return seccomp == 2; }
};

// Of /proc/self/status and /proc/self/uid_map; the rest is the caller's.
Rights rights_of(std::string_view status, std::string_view uid_map);
Rights read_rights();

// What the kernel's capable() asks for: the capability in the first user namespace. A process
// loses it when it enters a user namespace of its own, also root's.
bool has_capability(const Rights& rights, int capability);

// The processes and threads that the kernel counts for a user (getrlimit(2), RLIMIT_NPROC), from
// /proc or what stands in for it; nullopt when it shows none.
std::optional<int64_t> tasks_of_user(const std::string& proc, int64_t user);

}  // namespace lastack::doctor
