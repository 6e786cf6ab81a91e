#include "base/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace lastack {

std::string Error::message() const {
  std::string text = operation;
  if (!where.empty()) text += (text.empty() ? "" : " ") + where;
  if (error_number == 0) return text;
  return fmt::format("{}: {} ({} {})", text, strerrordesc_np(error_number),
                     errno_name(error_number), error_number);
}

Error make_error(std::string operation, int error_number, std::string where) {
  return Error{std::move(operation), error_number, std::move(where)};
}

Error errno_error(std::string operation, std::string where) {
  const int saved = errno;
  return make_error(std::move(operation), saved, std::move(where));
}

Error plain_error(std::string text) { return Error{std::move(text), 0, ""}; }

std::string errno_name(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name ? name : fmt::format("{}", error_number);
}

}  // namespace lastack
