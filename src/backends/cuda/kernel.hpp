// SPDX-License-Identifier: Apache-2.0
// The table of kernels that commands can name (commands.cpp). make, workspace and run are called with the device's context current on
// the calling thread. cuda.launch is not among them: it needs code of the engine (launch.hpp).
#pragma once
#include <memory>
#include <string_view>

#include "base/attr.hpp"
#include "device/kernel.hpp"

namespace carnot::cuda {

using device::Kernel;
using device::KernelArgs;

using MakeKernel = Result<std::unique_ptr<Kernel>> (*)(const Attrs& params);

struct KernelRow {
  std::string_view id;
  MakeKernel make;
};

// Null if this build has no such kernel.
const KernelRow* find_kernel(std::string_view id);

}  // namespace carnot::cuda
