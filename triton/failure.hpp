// SPDX-License-Identifier: Apache-2.0
// Why something did not work, in the terms of Triton's C API. No exceptions cross an entry point.
#pragma once
#include <fmt/format.h>

#include <optional>
#include <string>

#include "api.h"

namespace carnot::triton {

struct Failure {
  TRITONSERVER_Error_Code code;
  std::string text;
};
using MaybeFailure = std::optional<Failure>;

template <typename... Args>
Failure failure(TRITONSERVER_Error_Code code, fmt::format_string<Args...> text, Args&&... args) {
  return {code, fmt::format(text, std::forward<Args>(args)...)};
}
template <typename... Args>
Failure invalid(fmt::format_string<Args...> text, Args&&... args) {
  return failure(TRITONSERVER_ERROR_INVALID_ARG, text, std::forward<Args>(args)...);
}

// Takes an error of the server over.
inline MaybeFailure taken(TRITONSERVER_Error* error) {
  if (!error) return std::nullopt;
  Failure f{TRITONSERVER_ErrorCode(error), TRITONSERVER_ErrorMessage(error)};
  TRITONSERVER_ErrorDelete(error);
  return f;
}

inline TRITONSERVER_Error* to_error(const MaybeFailure& f) {
  return f ? TRITONSERVER_ErrorNew(f->code, f->text.c_str()) : nullptr;
}

// For calls whose failure would change nothing (statistics, log lines).
inline void ignored(TRITONSERVER_Error* error) {
  if (error) TRITONSERVER_ErrorDelete(error);
}

inline void log(TRITONSERVER_LogLevel level, const std::string& text) {
  ignored(TRITONSERVER_LogMessage(level, "carnot", 0, text.c_str()));
}

}  // namespace carnot::triton

// CARNOT_CALL(TRITONBACKEND_ModelName(model, &name)): returns the failure of a call, if there is one.
#define CARNOT_CALL(call) \
  if (auto called_ = ::carnot::triton::taken(call); called_) return *called_
