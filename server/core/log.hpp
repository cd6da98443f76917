// SPDX-License-Identifier: Apache-2.0
// The server's log on standard error: one line an event, as text or JSON.
#pragma once
#include <fmt/core.h>

#include <atomic>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace carnot::serve::log {

enum class Level { kError, kWarning, kInfo, kVerbose };

struct Settings {
  std::atomic<bool> info{true}, warning{true}, error{true};
  std::atomic<int> verbose{0};
  std::atomic<bool> json{false};
  std::atomic<bool> iso8601{true};
};
Settings& settings();

// What a line says besides its text: `key=value` in text, a member in JSON.
struct Field {
  std::string_view key;
  std::variant<std::string, int64_t> value;
};

bool enabled(Level level);
void write(Level level, std::string_view text, const std::vector<Field>& fields = {});

template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError)) write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarning)) write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace carnot::serve::log
