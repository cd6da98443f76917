// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "backends/cpu/kernel.hpp"

namespace carnot::cpu {

// One line per file of commands/: CARNOT_CPU_COMMAND_FILE(family).
#define CARNOT_CPU_COMMAND_FILE(family) std::vector<KernelRow> cpu_commands_##family();
#include "all_commands.inc"
#undef CARNOT_CPU_COMMAND_FILE

namespace {
const std::map<std::string_view, KernelRow>& table() {
  static const auto* rows = [] {
    auto* map = new std::map<std::string_view, KernelRow>();
#define CARNOT_CPU_COMMAND_FILE(family) \
  for (const KernelRow& row : cpu_commands_##family()) CARNOT_CHECK(map->emplace(row.id, row).second);
#include "all_commands.inc"
#undef CARNOT_CPU_COMMAND_FILE
    return map;
  }();
  return *rows;
}
}  // namespace

const KernelRow* find_kernel(std::string_view id) {
  auto it = table().find(id);
  return it == table().end() ? nullptr : &it->second;
}

std::vector<const KernelRow*> all_kernels() {
  std::vector<const KernelRow*> out;
  for (const auto& [id, row] : table()) out.push_back(&row);
  return out;
}

}  // namespace carnot::cpu
