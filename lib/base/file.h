// Small files: reading /proc and /sys, handing data to a child. Results: base/folder.h.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace lastack {

// An open file descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int descriptor) : descriptor_(descriptor) {}
  Fd(Fd&& other) noexcept : descriptor_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  int release() { return std::exchange(descriptor_, -1); }
  void reset(int descriptor = -1);

 private:
  int descriptor_ = -1;
};

// The whole content of a file.
Result<std::string> read_file(const std::string& path);
// The same; "" when the file cannot be read.
std::string read_text(const std::string& path);
// The first line without its end; "" when the file cannot be read.
std::string read_first_line(const std::string& path);
// Overwrites an existing file in one write(2): sysctls and uid_map need that.
Status write_existing_file(const std::string& path, std::string_view text);
// All of it, from a descriptor's position on, and to it; `path` is for messages.
Result<std::string> read_all(int descriptor, const std::string& path);
Status write_all(int descriptor, std::string_view text, const std::string& path);

// A memfd with this content, read from its start; for handing data to a child.
Result<Fd> memory_file(const std::string& name, std::string_view content);
// Everything from a descriptor's start to its end.
Result<std::string> read_descriptor(int descriptor);

}  // namespace lastack
