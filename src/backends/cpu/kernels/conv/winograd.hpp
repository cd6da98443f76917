// SPDX-License-Identifier: Apache-2.0
// The transforms of Winograd's convolutions F(m x m, 3 x 3), m = 2 or 4: of one tile, (m + 2) x (m + 2) pixels of the input that give
// m x m of the output. Internal to kernels/conv.
//
//   V = B^T x B          U = G w G^T          y = A^T (sum over channels of U * V) A
//
// The points of F(4x4) are 0, +-3/4, +-3/2 and infinity: their errors were measured to be two to three times those of the plain sum, a
// fifth of those of the usual 0, +-1, +-2.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"

namespace carnot::cpu {

inline constexpr int kWinogradMost = 36;  // elements of a transformed tile, at most

// For each channel: V, element e at v[e * v_stride + channel]. Writes up to a multiple of 16 channels.
struct WinogradInput {
  const float* const* pixels = nullptr;  // [(m + 2)^2], channel 0 of each; padding points at zeros
  int64_t channels = 0;
  float* v = nullptr;
  int64_t v_stride = 0;
};

// The pixels of the output from the sums of products, which lie like V.
struct WinogradOutput {
  const float* sums = nullptr;
  int64_t sum_stride = 0;
  int64_t channels = 0;
  int64_t rows = 0, cols = 0;  // of the tile that lie inside the output
  float* y = nullptr;          // its first pixel
  int64_t ldy = 0, y_row = 0;  // floats between pixels and between rows of the image
  const float* bias = nullptr;
  const float* residual = nullptr;  // its first pixel
  int64_t ld_residual = 0, residual_row = 0;
  bool residual_after = false;
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;
};

struct WinogradKernels {
  void (*input2)(const WinogradInput&);
  void (*input4)(const WinogradInput&);
  void (*output2)(const WinogradOutput&);
  void (*output4)(const WinogradOutput&);
};
const WinogradKernels& winograd_kernels(Isa isa);

}  // namespace carnot::cpu
