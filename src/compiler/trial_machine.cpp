// SPDX-License-Identifier: Apache-2.0
#include "compiler/trial_machine.hpp"

#include "backends/cpu/kernel.hpp"
#include "carnot/carnot.h"

namespace carnot::compiler {

Result<std::unique_ptr<TrialMachine>> open_trial_machine(const std::string& device, int threads) {
  if (device == "cpu") return open_cpu_machine(threads);
  return std::unique_ptr<TrialMachine>();
}

std::string kernel_table_key() {
  const std::string carnot_version = fmt::format("{}.{}.{}", CARNOT_VERSION_MAJOR, CARNOT_VERSION_MINOR, CARNOT_VERSION_PATCH);
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  auto mix = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    hash = (hash ^ 0xff) * 1099511628211u;
  };
  for (const tactics::Tactic* tactic : tactics::all_tactics()) mix(fmt::format("{}@{}", tactic->name(), tactic->version()));
  for (const cpu::KernelRow* row : cpu::all_kernels()) mix(row->id);
  return fmt::format("carnot {} kernels {:016x}", carnot_version, hash);
}

}  // namespace carnot::compiler
