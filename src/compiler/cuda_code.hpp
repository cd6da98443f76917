// SPDX-License-Identifier: Apache-2.0
// Compiles the CUDA text of generated kernels with NVRTC, which is opened when it is needed.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"

namespace carnot::compiler {

// The binary of each source for compute capability `sm`, in order; many at once. Errors name the source and hold the compiler's words.
Result<std::vector<std::string>> compile_cuda(const std::vector<std::string>& sources, int sm);
// "sm_90a": the architecture that code for compute capability `sm` is compiled for.
std::string cuda_architecture(int sm);

}  // namespace carnot::compiler
