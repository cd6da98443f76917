// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/contract.hpp"

namespace carnot::cpu {

#define CARNOT_GEMM_KERNEL(isa, name, rows, panels) \
  namespace name {                                  \
  void gemm_##rows##x##panels(const Tile& tile);    \
  }
#include "backends/cpu/kernels/gemm/kernels.inc"
#undef CARNOT_GEMM_KERNEL

namespace {
constexpr GemmKernel kKernels[] = {
#define CARNOT_GEMM_KERNEL(isa, name, rows, panels) \
  {#name "_" #rows "x" #panels, Isa::isa, rows, panels, name::gemm_##rows##x##panels},
#include "backends/cpu/kernels/gemm/kernels.inc"
#undef CARNOT_GEMM_KERNEL
};
}  // namespace

GemmKernelList gemm_kernels() { return {kKernels, kKernels + sizeof kKernels / sizeof kKernels[0]}; }

}  // namespace carnot::cpu
