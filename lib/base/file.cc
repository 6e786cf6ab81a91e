#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace lastack {

Status write_all(int descriptor, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error("write", path);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return std::nullopt;
}

Result<std::string> read_all(int descriptor, const std::string& path) {
  std::string content;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = read(descriptor, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", path);
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(got));
  }
}

void Fd::reset(int descriptor) {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = descriptor;
}

Result<std::string> read_file(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno_error("open", path);
  return read_all(file.get(), path);
}

std::string read_text(const std::string& path) {
  auto content = read_file(path);
  return content ? std::move(*content) : "";
}

std::string read_first_line(const std::string& path) {
  const std::string content = read_text(path);
  return content.substr(0, content.find('\n'));
}

Status write_existing_file(const std::string& path, std::string_view text) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return errno_error("open", path);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return errno_error(fmt::format("write '{}' to", text), path);
  return std::nullopt;
}

Result<Fd> memory_file(const std::string& name, std::string_view content) {
  Fd file(memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!file.valid()) return errno_error("memfd_create", name);
  if (const Status failed = write_all(file.get(), content, name)) return *failed;
  if (lseek(file.get(), 0, SEEK_SET) != 0) return errno_error("lseek", name);
  return file;
}

Result<std::string> read_descriptor(int descriptor) {
  if (lseek(descriptor, 0, SEEK_SET) != 0) return errno_error("lseek", "descriptor");
  return read_all(descriptor, "descriptor");
}

}  // namespace lastack
