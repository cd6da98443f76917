// SPDX-License-Identifier: Apache-2.0
// One thread's block of a matrix product or convolution: loops over panels, depth and rows around the tile kernels.
// Internal to kernels/gemm, kernels/conv and kernels/attention.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/gemm/contract.hpp"

namespace carnot::cpu {

struct Block {
  Isa isa = Isa::kScalar;
  const float* const* a = nullptr;  // [taps][a_stride] row pointers, as in Tile
  int64_t a_stride = 0;
  int64_t a_offset = 0;  // floats added to every row pointer (a group's first channel)
  int64_t rows = 0;
  int64_t taps = 1;
  int64_t depth = 0;         // floats a row at one tap
  DType b_type = DType::kF32;  // f32, f16 or bf16; offsets and strides count elements
  const void* b = nullptr;     // panel 0 of the whole matrix
  const int64_t* b_offsets = nullptr;
  int64_t b_stride = 0;
  int64_t b_step = 16;
  int64_t col0 = 0, col1 = 0;  // columns to compute; col0 a multiple of 16
  float* c = nullptr;          // element (row 0 of the block, column 0 of the matrix)
  int64_t ldc = 0;
  int64_t row0 = 0;  // the block's first row within the whole output, for the residual and the callback
  bool accumulate = false;  // the sum is added to what stands in the output
  const Epilogue* epilogue = nullptr;  // bias and residual of the whole output
  Blocking blocking;                   // panels and depth
};

void run_block(const Block& block);

// Where a block of sums goes that is stored in f16 or bf16; the residual has the same type.
struct HalfOut {
  DType type = DType::kF16;
  uint16_t* c = nullptr;  // element (row 0 of the block, column 0 of the matrix)
  int64_t ldc = 0;
  const uint16_t* residual = nullptr;  // the same element of the residual, or null
  int64_t ld_residual = 0;
};
// The block, whose `c` and whose epilogue's residual are not looked at, some columns at a time: their sums stay in `scratch`
// (half_scratch_floats) until they are finished and narrowed.
void run_block_half(const Block& block, const HalfOut& out, float* scratch);
constexpr int64_t kHalfScratch = 32768;  // floats: an eighth of a usual second-level cache
constexpr int64_t half_scratch_floats(int64_t rows) { return rows * 64 > kHalfScratch ? rows * 64 : kHalfScratch; }

// How an output of rows x panels is cut into tasks.
struct Partition {
  int64_t row_tasks = 1, col_tasks = 1;
  int64_t rows = 0;    // of a task, the last may have fewer
  int64_t panels = 0;  // likewise
  int64_t tasks() const { return row_tasks * col_tasks; }
};
// `k` is the depth of the sum; `row_limit` bounds the rows of a task (0: no bound). Of `blocking` rows and columns count.
Partition partition_output(int64_t rows, int64_t panels, int64_t k, int64_t row_limit, int threads, const Blocking& blocking = {});

}  // namespace carnot::cpu
