// SPDX-License-Identifier: Apache-2.0
// The inner kernel of depthwise convolution: a run of output pixels along the width, all channels of a range. Internal
// to kernels/conv.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"

namespace carnot::cpu {

// For each pixel p < pixels and channel ch < channels:
//   y[p][ch] = activation(bias[ch] + sum over rows r, k of x[r][p * x_step + k * k_step + ch] * w[r][k * w_step + ch])
struct DepthwiseRun {
  const float* const* x = nullptr;  // [rows] the input pixel under kernel position 0 of the first output pixel
  const float* const* w = nullptr;  // [rows] the weights of kernel position 0
  int64_t rows = 0;                 // kernel rows inside the input
  int64_t taps = 0;                 // kernel positions along the width, all inside the input
  int64_t x_step = 0, k_step = 0, w_step = 0;
  int64_t pixels = 0, channels = 0;
  float* y = nullptr;
  int64_t ldy = 0;
  const float* bias = nullptr;      // null: 0
  const float* residual = nullptr;  // the first pixel's
  int64_t ld_residual = 0;
  bool residual_after = false;
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;
};

struct DepthwiseKernel {
  const char* name;
  Isa isa;
  void (*run)(const DepthwiseRun& run);
};
const DepthwiseKernel& depthwise_kernel(Isa isa);

}  // namespace carnot::cpu
