// SPDX-License-Identifier: Apache-2.0
// Logging ladder: CARNOT_LOG=1 build summary, 2 passes, 3 tactic choices, 4 generated sources, 5 the graph after each pass; or the
// name of a channel ("tactic"). Lines go to standard error, or to the sink that the C ABI sets; never to standard output.
//
//   CARNOT_LOG(2, "pass", "fold-constants: {} nodes -> {}", before, after);
#pragma once
#include <fmt/format.h>

#include <string_view>

namespace carnot::log {

bool enabled(int level, std::string_view channel);
void write(int level, std::string_view channel, std::string_view message);
// Null: back to standard error.
void set_sink(void (*sink)(void* user, int level, const char* channel, const char* message), void* user);

}  // namespace carnot::log

#define CARNOT_LOG(level, channel, ...)                                                                          \
  do {                                                                                                           \
    if (::carnot::log::enabled(level, channel)) ::carnot::log::write(level, channel, fmt::format(__VA_ARGS__)); \
  } while (0)
