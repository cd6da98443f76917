// SPDX-License-Identifier: Apache-2.0
// Why a request was refused, and a value or such a reason. Both protocols translate Kind into their own codes (see
// http_status() and grpc/service.cpp); the text goes to the client, so it names no path and no internal state.
#pragma once
#include <fmt/core.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace carnot::serve {

enum class Kind {
  kInvalid,          // the request is wrong: 400, INVALID_ARGUMENT
  kNotFound,         // no such model, version, region: 404, NOT_FOUND
  kUnavailable,      // not now: 503, UNAVAILABLE
  kUnsupported,      // a feature that is not there: 501, UNIMPLEMENTED
  kExists,           // 400, ALREADY_EXISTS
  kCancelled,        // the client is gone: 400, CANCELLED
  kTooLarge,         // 413, INVALID_ARGUMENT
  kUnauthenticated,  // no token, or one that is not known: 401, UNAUTHENTICATED
  kForbidden,        // 403, PERMISSION_DENIED
  kInternal,         // our bug, or a model that fails: 500, INTERNAL
};

struct Fault {
  Kind kind = Kind::kInternal;
  std::string text;
};

inline int http_status(Kind kind) {
  switch (kind) {
    case Kind::kInvalid:
    case Kind::kExists:
    case Kind::kCancelled:
      return 400;
    case Kind::kUnauthenticated:
      return 401;
    case Kind::kForbidden:
      return 403;
    case Kind::kNotFound:
      return 404;
    case Kind::kTooLarge:
      return 413;
    case Kind::kInternal:
      return 500;
    case Kind::kUnsupported:
      return 501;
    case Kind::kUnavailable:
      return 503;
  }
  return 500;
}

inline const char* kind_name(Kind kind) {
  static constexpr const char* kNames[] = {"invalid",   "not found", "unavailable",     "unsupported", "exists",
                                           "cancelled", "too large", "unauthenticated", "forbidden",   "internal"};
  return kNames[static_cast<size_t>(kind)];
}

template <typename... Args>
Fault fault(Kind kind, fmt::format_string<Args...> format, Args&&... args) {
  return {kind, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Fault invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {Kind::kInvalid, fmt::format(format, std::forward<Args>(args)...)};
}

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Or {
 public:
  Or(T value) : state_(std::move(value)) {}        // NOLINT: return value;
  Or(Fault reason) : state_(std::move(reason)) {}  // NOLINT: return invalid(...);
  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  const T& operator*() const { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  Fault& fault() { return std::get<1>(state_); }

 private:
  std::variant<T, Fault> state_;
};

// Nothing, or a reason: `if (auto refused = check(x)) return *refused;`
using MaybeFault = std::optional<Fault>;

}  // namespace carnot::serve
