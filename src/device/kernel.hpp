// SPDX-License-Identifier: Apache-2.0
// How the runtime calls a kernel, on whatever device. A command of an engine names a kernel by its stable id; at load an instance is
// made from the command's parameters; run() is then called with the concrete tensors of each run.
#pragma once
#include <span>

#include "base/result.hpp"
#include "base/tensor.hpp"
#include "base/threads.hpp"

namespace carnot::device {

class Stream;

struct KernelArgs {
  std::span<const TensorView> in;  // dtype kInvalid: optional operand absent. Data lies in the kernel's device's memory.
  std::span<TensorView> out;       // shaped, memory ready
  void* workspace = nullptr;       // workspace() bytes in the device's memory, 64-byte aligned
  ThreadPool* pool = nullptr;      // host kernels
  Stream* stream = nullptr;        // kernels of devices: where the work is enqueued; run() returns before it is done
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  // Whether the command's number of operands fits; called once, at load.
  virtual Status check_operands(size_t inputs, size_t outputs) const = 0;
  // Whether operand i (or result i) may have rows that lie apart (TensorView::pitch). A kernel that says no never sees such a tensor.
  virtual bool takes_pitch(bool result, size_t i) const {
    (void)result, (void)i;
    return false;
  }
  // Scratch bytes that run() needs for these shapes (data pointers are not looked at). Called when shapes change, not per run.
  virtual size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const {
    (void)in, (void)out, (void)threads;
    return 0;
  }
  // Must check whatever hostile parameters or shapes could make unsafe. Does not allocate. Const: one instance serves all sessions.
  virtual Status run(const KernelArgs& args) const = 0;
};

}  // namespace carnot::device
