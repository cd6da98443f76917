// SPDX-License-Identifier: Apache-2.0
// Errors as values. A function that can fail returns Status or Result<T>; both must be looked at.
//
//   Result<int64_t> size = dims.checked_size();
//   if (!size) return size.error();
//   CARNOT_ASSIGN(int64_t n, dims.checked_size());   // the same in one line
//   CARNOT_RETURN_IF_ERROR(writer.finish());
//   return fail(Code::kInvalidArgument, "axis {} is outside [-{}, {})", axis, rank, rank);
#pragma once
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace carnot {

enum class Code : int {
  kOk = 0,
  kInvalidArgument = 1,  // the caller's or the model's mistake
  kNotFound = 2,         // a file, name or kernel that does not exist
  kUnsupported = 3,      // understood, but not implemented
  kDataCorrupt = 4,      // bytes that contradict themselves
  kOutOfMemory = 5,
  kIo = 6,
  kCancelled = 7,
  kInternal = 8,  // our bug
};

struct Error {
  Code code = Code::kInternal;
  std::string message;

  // Prepends where it happened: "node 'Conv_12' (Conv): ...".
  Error within(std::string_view where) && {
    message = fmt::format("{}: {}", where, message);
    return std::move(*this);
  }
};

template <typename... Args>
[[nodiscard]] Error fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
[[nodiscard]] Error invalid(fmt::format_string<Args...> format, Args&&... args) {
  return Error{Code::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: an error is a status
  explicit operator bool() const { return !error_; }
  bool ok() const { return !error_; }
  Error& error() { return *error_; }
  const Error& error() const { return *error_; }
  const std::string& message() const { return error_->message; }

 private:
  std::optional<Error> error_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() { return std::get<1>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

// Stops the process with file, line and text: for our own bugs only, never for input.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace carnot

#define CARNOT_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::carnot::check_failed(__FILE__, __LINE__, #condition))

#define CARNOT_CONCAT_(a, b) a##b
#define CARNOT_CONCAT(a, b) CARNOT_CONCAT_(a, b)
#define CARNOT_RETURN_IF_ERROR(expression) \
  do {                                     \
    auto carnot_status_ = (expression);    \
    if (!carnot_status_) return std::move(carnot_status_.error()); \
  } while (0)
#define CARNOT_ASSIGN_(tmp, declaration, expression) \
  auto tmp = (expression);                           \
  if (!tmp) return std::move(tmp.error());           \
  declaration = std::move(*tmp)
#define CARNOT_ASSIGN(declaration, ...) CARNOT_ASSIGN_(CARNOT_CONCAT(carnot_result_, __LINE__), declaration, (__VA_ARGS__))
