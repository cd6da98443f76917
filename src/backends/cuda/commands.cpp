// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "backends/cuda/kernel.hpp"
#include "backends/cuda/kernels/library_kernels.hpp"

namespace carnot::cuda {

const KernelRow* find_kernel(std::string_view id) {
  static constexpr std::array<KernelRow, 5> kRows{
      {{"cuda.gemm", make_gemm}, {"cuda.conv", make_conv}, {"cuda.conv_transpose", make_conv_transpose}, {"cuda.sdpa", make_sdpa}, {"cuda.recurrent", make_recurrent}}};
  for (const KernelRow& row : kRows)
    if (row.id == id) return &row;
  return nullptr;
}

}  // namespace carnot::cuda
