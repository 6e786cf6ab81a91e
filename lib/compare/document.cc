#include "compare/document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/csv.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/printable.h"
#include "compare/csv_table.h"

namespace lastack::compare {
namespace {

constexpr int kDeepest = 32;  // comparing and printing a document takes a stack frame a level

int depth_of(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char letter = text[i];
    if (in_string && letter == '\\')
      ++i;
    else if (letter == '"')
      in_string = !in_string;
    else if (!in_string && (letter == '{' || letter == '['))
      deepest = std::max(deepest, ++depth);
    else if (!in_string && (letter == '}' || letter == ']'))
      --depth;
  }
  return deepest;
}

bool is_list_of_objects(const Json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_object(); });
}

}  // namespace

Result<std::string> read_recorded_file(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return errno_error("open", path);
  if (!S_ISREG(status.st_mode)) return plain_error(fmt::format("{} is no regular file", path));
  if (status.st_size > kLargestRecordedFile_bytes)
    return plain_error(fmt::format("{} has {} bytes; at most {} are read", path, status.st_size,
                                   format_size(kLargestRecordedFile_bytes)));
  return read_file(path);
}

std::vector<std::string> labels_of(const std::vector<std::string>& paths) {
  std::vector<std::vector<std::string>> parts;
  size_t longest = 1;
  for (const std::string& given : paths) {
    std::vector<std::string> names;
    const auto path = std::filesystem::path(given).lexically_normal();
    for (const auto& part : path)
      if (!part.empty() && part != "/") names.push_back(part.string());
    if (names.empty()) names.push_back(given);
    longest = std::max(longest, names.size());
    parts.push_back(std::move(names));
  }
  for (size_t length = 1;; ++length) {
    std::vector<std::string> labels;
    for (const auto& names : parts) {
      const size_t used = std::min(length, names.size());
      labels.push_back(fmt::format(
          "{}", fmt::join(names.end() - static_cast<std::ptrdiff_t>(used), names.end(), "/")));
    }
    if (std::set<std::string>(labels.begin(), labels.end()).size() == labels.size()) return labels;
    if (length < longest) continue;
    // The same path twice.
    for (size_t i = 0; i < labels.size(); ++i)
      labels[i] = fmt::format("{} ({})", parts[i].back(), i + 1);
    return labels;
  }
}

Document::Document(std::string_view text, std::string name, Root root) : name_(std::move(name)) {
  parse(text, root);
}

void Document::fail(std::string_view what) {
  if (!failed_) failed_ = plain_error(fmt::format("{}: {}", name_, printable(what)));
}

const Json& Document::member(const Json& object, const std::string& key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string Document::text(const Json& object, const std::string& key,
                           const std::optional<std::string>& fallback) {
  const Json& value = member(object, key);
  if (value.is_null() && fallback) return *fallback;
  if (!value.is_string()) return fail(fmt::format("'{}' is not a string", key)), "";
  return printable(value.get<std::string>());
}

int64_t Document::number(const Json& object, const std::string& key,
                         std::optional<int64_t> fallback) {
  const Json& value = member(object, key);
  if (value.is_null() && fallback) return *fallback;
  const auto whole =
      value.is_number_integer() ? whole_number(value.dump()) : std::optional<int64_t>();
  if (!whole) return fail(fmt::format("'{}' is not a whole number", key)), 0;
  return *whole;
}

bool Document::flag(const Json& object, const std::string& key, bool fallback) {
  const Json& value = member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) return fail(fmt::format("'{}' is neither true nor false", key)), false;
  return value.get<bool>();
}

const Json& Document::objects(const Json& object, const std::string& key, bool needed) {
  static const Json kNone = Json::array();
  const Json& value = member(object, key);
  if (value.is_null() && !needed) return kNone;
  if (!is_list_of_objects(value))
    return fail(fmt::format("'{}' is not a list of objects", key)), kNone;
  return value;
}

const Json& Document::object(const Json& parent, const std::string& key) {
  const Json& value = member(parent, key);
  if (!value.is_object()) fail(fmt::format("'{}' is not an object", key));
  return value;
}

void Document::parse(std::string_view text, Root root) {
  if (text.empty()) return fail("the file is empty");
  if (depth_of(text) > kDeepest) return fail("nested too deep: this is no file of lastack");
  // Exceptions of the library end here and in number().
  try {
    root_ = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return fail(fmt::format("no JSON, or cut off, at byte {}", error.byte));
  } catch (const Json::exception&) {
    return fail("no JSON: a number is too large");
  }
  if (root == Root::table && root_.is_array()) {
    if (!is_list_of_objects(root_)) fail("not a list of rows");
    return;
  }
  if (!root_.is_object()) return fail("not an object: this is no file of lastack");
  const int64_t version = number(root_, "schema_version", std::nullopt);
  if (!failed_ && version > kSchemaVersion)
    fail(fmt::format("schema version {} was written by a newer lastack; this one knows up to {}",
                     version, kSchemaVersion));
}

}  // namespace lastack::compare
