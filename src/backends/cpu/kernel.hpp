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

namespace carnot::cpu {

struct KernelArgs {
  std::span<const TensorView> in;  // dtype kInvalid: optional operand absent
  std::span<TensorView> out;       // shaped, memory ready
  void* workspace = nullptr;       // workspace() bytes, 64-byte aligned
  ThreadPool* pool = nullptr;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  // Whether the command's number of operands fits; called once, at load.
  virtual Status check_operands(size_t inputs, size_t outputs) const = 0;
  // Scratch bytes that run() needs for these shapes (data pointers are not looked at). Called when shapes change, not per run.
  virtual size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const {
    (void)in, (void)out, (void)threads;
    return 0;
  }
  // Must check whatever hostile parameters or shapes could make unsafe. Does not allocate. Const: one instance serves all sessions.
  virtual Status run(const KernelArgs& args) const = 0;
};

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
