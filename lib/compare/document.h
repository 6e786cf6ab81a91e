// Files that lastack wrote, read back: whatever people did to them, what is wrong is one clear
// line.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack::compare {

using Json = nlohmann::json;

// Larger files are refused before they are read: a recording has some hundred KiB.
constexpr int64_t kLargestRecordedFile_bytes = int64_t{64} << 20;
Result<std::string> read_recorded_file(const std::string& path);

// The shortest ends of paths that tell them apart, to call their sides by.
std::vector<std::string> labels_of(const std::vector<std::string>& paths);

// Reads what is expected of a JSON document, and remembers the first thing that is not so.
class Document {
 public:
  enum class Root : uint8_t {
    versioned,  // an object with a schema_version
    table,      // a list of objects, or a versioned object
  };
  // `name` is what messages call it.
  Document(std::string_view text, std::string name, Root root = Root::versioned);
  const Json& root() const { return root_; }
  const Status& failed() const { return failed_; }
  void fail(std::string_view what);

  // The member, or null where there is none.
  static const Json& member(const Json& object, const std::string& key);
  // Without a fallback the member has to be there. Null is none.
  std::string text(const Json& object, const std::string& key,
                   const std::optional<std::string>& fallback);
  int64_t number(const Json& object, const std::string& key, std::optional<int64_t> fallback);
  bool flag(const Json& object, const std::string& key, bool fallback);
  // The objects of an array.
  const Json& objects(const Json& object, const std::string& key, bool needed);
  const Json& object(const Json& parent, const std::string& key);

 private:
  void parse(std::string_view text, Root root);

  std::string name_;
  Json root_;
  Status failed_;
};

}  // namespace lastack::compare
