// SPDX-License-Identifier: Apache-2.0
// The inner kernels of matrix multiplication and convolution: one output tile of few rows by few panels, all of it in
// registers.
//
//   c[r][n] (+)= sum over taps t, depth i of  a[t][r][i] * b[n / 16][b_offsets[t] + i][n % 16]
//
// A matrix product has one tap whose rows are the rows of A. A convolution has one tap for each kernel position, whose
// rows are the input pixels under the output pixels (zeros for padding). The order of summation is tap by tap, then by
// depth, in one accumulator for each output element, so it depends neither on the tile nor on the number of threads.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"
#include "base/dtype.hpp"

namespace carnot::cpu {

struct Tile {
  const float* const* a = nullptr;     // [taps][a_stride] pointers to rows; the first `rows` of each tap are read
  int64_t a_stride = 0;                // pointers between taps
  int64_t a_offset = 0;                // floats added to every row pointer
  DType b_type = DType::kF32;          // of b: f32, f16 or bf16; widened as it is read
  const void* b = nullptr;             // the first panel
  const int64_t* b_offsets = nullptr;  // [taps] elements from the start of each panel to this tap's first row
  int64_t b_stride = 0;                // elements between panels
  int64_t b_step = 16;                 // elements between rows of a panel; 16 when packed
  int64_t taps = 0;
  int64_t depth = 0;
  // Memory to bring into the second-level cache meanwhile, `prefetch_step` bytes further at each unit of depth; never
  // null.
  const void* prefetch = nullptr;
  int64_t prefetch_step = 0;
  float* c = nullptr;
  int64_t ldc = 0;
  int rows = 0;  // 1 .. kernel's rows
  int cols = 0;  // 1 .. kernel's panels * 16
  // The sum starts from c itself (accumulate), or from bias (this tile's columns) or 0.
  bool accumulate = false;
  const float* bias = nullptr;
  // Applied to the finished sum; `last` is false while more depth follows.
  bool last = true;
  const float* residual = nullptr;  // this tile's first element
  int64_t ld_residual = 0;
  bool residual_after = false;
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;
};

using TileKernel = void (*)(const Tile& tile);

struct GemmKernel {
  const char* name;
  Isa isa;
  int rows;    // at most this many at a time
  int panels;  // likewise; panels of 16 columns
  TileKernel run;
};

// Every kernel of kernels.inc, whether or not this processor can run it.
struct GemmKernelList {
  const GemmKernel* begin;
  const GemmKernel* end;
};
GemmKernelList gemm_kernels();

}  // namespace carnot::cpu
