// SPDX-License-Identifier: Apache-2.0
#include "base/env.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace carnot {
namespace {
constexpr EnvRow kRows[] = {
#define CARNOT_ENV(id, name, type, fallback, text) {name, type, fallback, text},
#include "base/env.inc"
#undef CARNOT_ENV
};
}  // namespace

std::span<const EnvRow> env_table() { return kRows; }

std::string env_text(EnvVar variable) {
  const EnvRow& row = kRows[static_cast<size_t>(variable)];
  const char* text = std::getenv(std::string(row.name).c_str());
  return text ? std::string(text) : std::string(row.fallback);
}

bool env_flag(EnvVar variable, bool fallback) {
  const std::string text = env_text(variable);
  if (text.empty()) return fallback;
  return text != "0" && text != "off" && text != "no" && text != "false";
}

std::vector<std::string> env_list(EnvVar variable) {
  std::vector<std::string> out;
  const std::string text = env_text(variable);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const size_t first = text.find_first_not_of(' ', begin), last = text.find_last_not_of(' ', comma == 0 ? 0 : comma - 1);
    if (comma > begin && first < comma) out.push_back(text.substr(first, last + 1 - first));
    begin = comma + 1;
  }
  return out;
}

std::string env_docs() {
  std::string out = "# Environment variables\n\nGenerated from src/base/env.inc.\n\n| name | value | meaning |\n|---|---|---|\n";
  for (const EnvRow& row : kRows) {
    out += fmt::format("| `{}` | {} | {}", row.name, row.type, row.text);
    if (!row.fallback.empty()) out += fmt::format(" Default: {}.", row.fallback);
    out += " |\n";
  }
  return out;
}

}  // namespace carnot
