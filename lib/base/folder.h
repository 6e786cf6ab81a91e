// A folder by its descriptor: results reach the folder that was opened, whatever becomes of its
// path meanwhile, and no link that somebody lays into it is followed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace lastack {

class Folder {
 public:
  // The folder at `path`; only here may a part of the path be a link. make() makes what is missing.
  static Result<Folder> open(const std::string& path);
  static Result<Folder> make(const std::string& path);
  // A folder in this one.
  Result<Folder> open_inside(const std::string& name) const;
  Result<Folder> make_inside(const std::string& name) const;

  // So that two processes do not write into one folder: until this object is gone, or the process
  // is, however it ended, reserve() of another one is refused. flock(2) on the folder itself, which
  // leaves nothing behind.
  Status reserve() const;

  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  Result<std::vector<std::string>> names() const;
  // The whole content of a regular file.
  Result<std::string> read(const std::string& name) const;
  // Writes a file whole or not at all, and it is on the disk when this returns: a new file of
  // another name (O_EXCL, O_NOFOLLOW), fsync, rename, fsync of the folder.
  Status write(const std::string& name, std::string_view content);
  Status remove_file(const std::string& name) const;
  Status remove_folder(const std::string& name) const;  // an empty one

  // Removes what write() wrote and, where that leaves them empty, the folders that were made.
  void undo();

  // Whether write() gives files that it has not finished such a name.
  static bool is_temporary(std::string_view name);

 private:
  Folder(Fd descriptor, std::string path, std::vector<std::string> made)
      : descriptor_(std::move(descriptor)), path_(std::move(path)), made_(std::move(made)) {}

  Fd descriptor_;
  std::string path_;
  std::vector<std::string> made_, written_;
};

}  // namespace lastack
