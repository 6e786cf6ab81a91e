#include "shard/shortage.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

#include "base/file.h"
#include "base/process.h"
#include "base/rows.h"

namespace lastack {
namespace {

// Errnos of the calls that a run makes, by the man pages of those calls.
constexpr ShortageRow kShortages[] = {
    // mmap(2), memfd_create(2), posix_spawn(3), io_uring_setup(2); std::bad_alloc becomes it.
    {ENOMEM,
     "more memory (ulimit -v, -d, -l; the control group's memory limit), or fewer --connections"},
    {ENOBUFS, "more memory (the control group's limit, net.ipv4.tcp_mem), or fewer --connections"},
    {EMFILE, "a higher limit of open files (ulimit -Hn), or fewer --connections"},
    {ENFILE, "a larger fs.file-max (sysctl -w fs.file-max=N), or fewer --connections"},
    // fork(2): RLIMIT_NPROC and pids.max.
    {EAGAIN, "more processes and threads (ulimit -u; pids.max of the control group)"},
    {EPERM, "the right to do it: root, a container's seccomp profile, a security module"},
    {EACCES, "the right to do it: root, a container's seccomp profile, a security module"},
    // unshare(2): user.max_*_namespaces; write(2) and ftruncate(2): a full file system.
    {ENOSPC, "larger user.max_user_namespaces and user.max_net_namespaces, or room on the disk"},
    {EUSERS, "a larger user.max_user_namespaces (user_namespaces(7))"},
    {EFBIG, "no limit of file sizes (ulimit -f unlimited), which holds for shared memory, too"},
    {ENOSYS, "a kernel that has the call, or a seccomp profile that allows it"},
    {EOPNOTSUPP, "a kernel that is built with it, or a module to load"},
    {EAFNOSUPPORT, "a kernel with this address family (no ipv6.disable=1), or --family inet"},
    {EPROTONOSUPPORT, "a kernel that is built with it, or a module to load"},
    // connect(2), bind(2).
    {EADDRNOTAVAIL,
     "free ports: a wider net.ipv4.ip_local_port_range (sysctl -w net.ipv4.ip_local_port_range="
     "\"1024 65535\"), more --shards or fewer --connections; for ::1 an lo with IPv6 "
     "(net.ipv6.conf.lo.disable_ipv6=0)"},
    {EADDRINUSE, "free ports: a wider net.ipv4.ip_local_port_range, or fewer --connections"},
    {ENETUNREACH, "a way to the address: ip link set lo up, or no --host-network"},
    {EHOSTUNREACH, "a way to the address: ip link set lo up, or no --host-network"},
    {ENETDOWN, "a way to the address: ip link set lo up, or no --host-network"},
};
static_assert(unique(kShortages, &ShortageRow::error_number));

// Errnos that are a shortage only where they are a connect's or accept's.
constexpr ShortageRow kNoConnection[] = {
    {ETIMEDOUT,
     "room for connections that wait to be accepted (sysctl -w net.core.somaxconn=4096), lo up (ip "
     "link set lo up), no firewall rule that drops packets between them, or fewer --connections"},
    {ECONNREFUSED, "no firewall rule that rejects connections between the run's own ports"},
};
static_assert(unique(kNoConnection, &ShortageRow::error_number));

}  // namespace

std::span<const ShortageRow> shortages() { return kShortages; }

bool is_shortage(int error_number) {
  return std::any_of(std::begin(kShortages), std::end(kShortages),
                     [&](const ShortageRow& row) { return row.error_number == error_number; });
}

std::string cure_of(int error_number) {
  for (const ShortageRow& row : kShortages)
    if (row.error_number == error_number) return std::string(row.cure);
  return "";
}

bool is_shortage(const Error& error) {
  return is_shortage(error.error_number) || !error.cure.empty();
}

namespace {

std::string mended(const std::string& message, std::string_view cure) {
  return fmt::format("{}; mend: {} (`lastack doctor` says what is missing)", message, cure);
}

}  // namespace

std::string with_cure(const std::string& message, int error_number) {
  for (const std::span<const ShortageRow> rows :
       {shortages(), std::span<const ShortageRow>(kNoConnection)})
    for (const ShortageRow& row : rows)
      if (row.error_number == error_number) return mended(message, row.cure);
  return message;
}

std::string last_word(const Message& failure) {
  Error error = error_of(failure);
  error.operation = "the launcher could not " + error.operation;
  return with_cure(error);
}

std::string with_cure(const Error& error) {
  if (!error.cure.empty()) return mended(error.message(), error.cure);
  return with_cure(error.message(), error.error_number);
}

namespace {

// Larger than what malloc(3) takes from its heap, so that it really goes back.
constexpr size_t kReserveBytes = 192 << 10;
void* g_reserve = nullptr;
std::terminate_handler g_terminate = nullptr;  // the library's own

void release_reserve() {
  std::free(std::exchange(g_reserve, nullptr));
  throw std::bad_alloc();
}

[[noreturn]] void end_unwinding() {
  try {
    if (const auto thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    _exit(say_lack_of_memory());
  } catch (...) {
  }
  g_terminate();  // says what it was, and aborts
  std::abort();
}

}  // namespace

void prepare_for_lack_of_memory() {
  g_reserve = std::malloc(kReserveBytes);  // never touched: it costs no page
  std::set_new_handler(release_reserve);
  g_terminate = std::set_terminate(end_unwinding);
}

int say_lack_of_memory() {
  constexpr std::string_view kMessage =
      "lastack: allocate memory: Cannot allocate memory (ENOMEM 12); mend: ulimit -v, ulimit -d, "
      "the control group's memory limit, or fewer --connections\n";
  (void)write_all(STDERR_FILENO, kMessage, "");
  return kLackOfMemory;
}

}  // namespace lastack
