// SPDX-License-Identifier: Apache-2.0
// Runs a pointwise program: over whole tensors with numpy broadcasting, or over a block of rows that is still in cache.
//
// Elements are worked on in tiles that stay in the L1 cache; each instruction is one vectorised loop over the tile. Operands that need no
// conversion are read, and results written, where they lie.
#pragma once
#include <cstddef>
#include <span>

#include "backends/cpu/kernels/pointwise/contract.hpp"
#include "base/dims.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// A tensor operand; `dims` broadcast numpy-like to the output's. `pitch`: elements between rows along the last axis, 0: dense.
struct PointwiseInput {
  const void* data = nullptr;
  const Dims* dims = nullptr;
  int64_t pitch = 0;
};
struct PointwiseResult {
  void* data = nullptr;
  int64_t pitch = 0;
  PointwiseResult(void* memory = nullptr, int64_t elements = 0) : data(memory), pitch(elements) {}
};

// outputs[j] = the program's output j, all of shape `dims`. An output may share its memory with an input of the same shape and dtype.
// Results with a pitch need rows of two elements or more. Rank at most kMaxPointwiseRank after adjacent axes with equal broadcasting have been merged; an error otherwise.
inline constexpr int kMaxPointwiseRank = 8;
Status run_pointwise(const PointwiseProgram& program, std::span<const PointwiseInput> inputs, std::span<const PointwiseResult> outputs, const Dims& dims,
                     ThreadPool& pool, Isa isa = kernel_isa());

// An operand of a block: element (r, c) lies at data + (r * row + c * col) elements.
struct PointwiseBlock {
  void* data = nullptr;
  ptrdiff_t row = 0;  // elements between rows; 0 = the same row for all (a vector per column)
  ptrdiff_t col = 1;  // 1, or 0 = the same value along a row
};
// The same on rows x cols elements on the calling thread, for use in an epilogue. Outputs have col == 1 and may be one of the inputs.
void run_pointwise_rows(const PointwiseProgram& program, const PointwiseBlock* inputs, const PointwiseBlock* outputs, int64_t rows, int64_t cols,
                        const PointwiseTable& table);

}  // namespace carnot::cpu
