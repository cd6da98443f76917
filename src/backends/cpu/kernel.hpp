// SPDX-License-Identifier: Apache-2.0
// How the runtime calls a CPU kernel. A command of an engine names a kernel by its stable id; at load the id is looked up in the
// table and an instance is made from the command's parameters; run() is then called with the concrete tensors of each run.
//
// One file src/backends/cpu/commands/<family>.cpp binds a family of kernels (kernels/<family>) to commands and ends with
//   CARNOT_CPU_COMMANDS(family, {"cpu.softmax", make_softmax}, ...)
// The table is generated from the file names.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/attr.hpp"
#include "base/result.hpp"
#include "base/tensor.hpp"
#include "base/threads.hpp"
#include "device/kernel.hpp"

namespace carnot::cpu {

using device::Kernel;
using device::KernelArgs;

using MakeKernel = Result<std::unique_ptr<Kernel>> (*)(const Attrs& params);

struct KernelRow {
  std::string_view id;
  MakeKernel make;
};

// Null if this build has no such kernel.
const KernelRow* find_kernel(std::string_view id);
std::vector<const KernelRow*> all_kernels();

}  // namespace carnot::cpu

#define CARNOT_CPU_COMMANDS(family, ...) \
  std::vector<::carnot::cpu::KernelRow> cpu_commands_##family() { return {__VA_ARGS__}; }
