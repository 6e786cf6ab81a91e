// Errors as values: the operation that failed, its errno and the place.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace lastack {

struct Error {
  std::string operation;  // "bind", "parse --mix": what was tried
  int error_number = 0;   // errno, or 0 when no system call is to blame
  std::string where;      // the object it was tried on: an address, a flag's value, a file
  std::string cure = {};  // what would mend it, when the errno does not tell (shard/shortage.h)

  // One line for people: "bind 127.0.0.1:80: Permission denied (EACCES 13)".
  std::string message() const;
};

// An Error of the current errno.
Error errno_error(std::string operation, std::string where = "");
// An Error with another errno, or with 0 and an explanation in `where`.
Error make_error(std::string operation, int error_number, std::string where);
// An Error without an errno; `text` is the whole message.
Error plain_error(std::string text);

// Symbolic name of an errno, "ECONNRESET"; "0" for 0.
std::string errno_name(int error_number);

// A value or an Error. std::expected is C++23; this is the part of it that we use.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}
  explicit operator bool() const { return value_.has_value(); }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  const Error& error() const { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

// The result of something that yields no value: nothing, or the Error.
class [[nodiscard]] Status : public std::optional<Error> {
 public:
  using std::optional<Error>::optional;
};

}  // namespace lastack
