// SPDX-License-Identifier: Apache-2.0
// The environment variables of Carnot: one table, env.inc. Values are read when asked for, so tests may set them.
//
//   if (env_flag(EnvVar::kVerifyPasses, false)) ...
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace carnot {

enum class EnvVar {
#define CARNOT_ENV(id, ...) k##id,
#include "base/env.inc"
#undef CARNOT_ENV
};

struct EnvRow {
  std::string_view name, type, fallback, text;
};
std::span<const EnvRow> env_table();

// The variable's text, or the table's default if it is not set.
std::string env_text(EnvVar variable);
// "0", "off", "no" and "false" are false, any other text true; not set or empty: `fallback`.
bool env_flag(EnvVar variable, bool fallback);
// The parts between commas, blanks trimmed, empty ones left out.
std::vector<std::string> env_list(EnvVar variable);
// docs/env.md.
std::string env_docs();

}  // namespace carnot
