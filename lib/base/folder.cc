#include "base/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

namespace lastack {
namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
constexpr std::string_view kTemporaryEnd = ".tmp";

// Makes the folders that are missing on the way to `path`, and it.
Status make_folders(const std::string& path, std::vector<std::string>& made) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), 0777) == 0)
      made.push_back(part);
    else if (errno != EEXIST)
      return errno_error("create folder", part);
    if (end == std::string::npos) return std::nullopt;
  }
}

void remove_empty(std::vector<std::string>& made) {
  // Somebody else may have removed some already.
  while (!made.empty() && (rmdir(made.back().c_str()) == 0 || errno == ENOENT)) made.pop_back();
  made.clear();
}

// A new file under a name that nobody has; `name` becomes that.
Fd open_temporary(int folder, std::string& name) {
  constexpr int kTries = 100;  // those of killed processes, or of somebody who guesses
  const std::string wanted = name;
  for (int i = 0; i < kTries; ++i) {
    name = fmt::format(".{}.{}-{}{}", wanted, getpid(), i, kTemporaryEnd);
    Fd file(
        openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (file.valid() || errno != EEXIST) return file;
  }
  return Fd();
}

}  // namespace

Result<Folder> Folder::open(const std::string& path) {
  Fd descriptor(::open(path.c_str(), kFolder));
  if (!descriptor.valid()) return errno_error("open folder", path);
  return Folder(std::move(descriptor), path, {});
}

Result<Folder> Folder::make(const std::string& path) {
  std::vector<std::string> made;
  if (Status failed = make_folders(path, made)) {
    remove_empty(made);
    return *failed;
  }
  auto folder = open(path);
  if (folder) folder->made_ = std::move(made);
  return folder;
}

Result<Folder> Folder::open_inside(const std::string& name) const {
  Fd descriptor(openat(descriptor_.get(), name.c_str(), kFolder | O_NOFOLLOW));
  if (!descriptor.valid()) return errno_error("open folder", path_of(name));
  return Folder(std::move(descriptor), path_of(name), {});
}

Result<Folder> Folder::make_inside(const std::string& name) const {
  const bool made = mkdirat(descriptor_.get(), name.c_str(), 0777) == 0;
  if (!made && errno != EEXIST) return errno_error("create folder", path_of(name));
  auto folder = open_inside(name);
  if (folder && made) folder->made_ = {folder->path_};
  return folder;
}

Status Folder::reserve() const {
  if (flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0) return std::nullopt;
  if (errno == EWOULDBLOCK)
    return plain_error(fmt::format("folder '{}' is in use by another lastack", path_));
  return errno_error("reserve folder", path_);
}

Result<std::vector<std::string>> Folder::names() const {
  Fd again(openat(descriptor_.get(), ".", kFolder));  // a position of its own
  if (!again.valid()) return errno_error("read folder", path_);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(again.get()), closedir);
  if (!entries) return errno_error("read folder", path_);
  again.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return errno_error("read folder", path_);
  return names;
}

Result<std::string> Folder::read(const std::string& name) const {
  // A pipe does not block the open.
  const Fd file(
      openat(descriptor_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return errno_error("open", path_of(name));
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return errno_error("stat", path_of(name));
  if (!S_ISREG(status.st_mode))
    return plain_error(fmt::format("{} is no regular file", path_of(name)));
  return read_all(file.get(), path_of(name));
}

Status Folder::write(const std::string& name, std::string_view content) {
  const int folder = descriptor_.get();
  std::string temporary = name;
  const Fd file = open_temporary(folder, temporary);
  if (!file.valid()) return errno_error("create", path_of(name));
  Status failed = write_all(file.get(), content, path_of(name));
  if (!failed && fsync(file.get()) != 0) failed = errno_error("fsync", path_of(name));
  if (!failed && renameat(folder, temporary.c_str(), folder, name.c_str()) != 0)
    failed = errno_error("rename", path_of(name));
  if (failed) {
    unlinkat(folder, temporary.c_str(), 0);
    return failed;
  }
  written_.push_back(name);
  // EINVAL: a file system that cannot.
  if (fsync(folder) != 0 && errno != EINVAL) return errno_error("fsync", path_);
  return std::nullopt;
}

Status Folder::remove_file(const std::string& name) const {
  if (unlinkat(descriptor_.get(), name.c_str(), 0) == 0) return std::nullopt;
  return errno_error("remove", path_of(name));
}

Status Folder::remove_folder(const std::string& name) const {
  if (unlinkat(descriptor_.get(), name.c_str(), AT_REMOVEDIR) == 0) return std::nullopt;
  return errno_error("remove", path_of(name));
}

void Folder::undo() {
  for (const std::string& name : written_) unlinkat(descriptor_.get(), name.c_str(), 0);
  written_.clear();
  remove_empty(made_);
}

bool Folder::is_temporary(std::string_view name) {
  return name.starts_with('.') && name.ends_with(kTemporaryEnd);
}

}  // namespace lastack
