// SPDX-License-Identifier: Apache-2.0
// The inner kernel of depthwise convolution: one output row, all channels of a range. Internal to kernels/conv.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"
#include "base/dtype.hpp"

namespace carnot::cpu {

// For each pixel p < pixels and channel ch < channels:
//   y[p][ch] = activation(bias[ch] + sum over rows r, taps k of x[r][p * stride + k * dilation - pad][ch] * w[r][k][ch]
//   + residual)
// where input positions outside [0, in_pixels) count as zeros and are not read.
struct DepthwiseRun {
  DType x_type = DType::kF32;      // f32, f16 or bf16
  const void* const* x = nullptr;  // [rows] pixel 0 of the input rows that lie inside the input
  const float* const* w = nullptr;  // [rows] the weights of their tap 0; readable up to a multiple of 16 channels
  int64_t rows = 0;
  int64_t taps = 0, stride = 1, dilation = 1, pad = 0;
  int64_t in_pixels = 0, ldx = 0;
  int64_t ldw = 0;  // floats between taps
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
