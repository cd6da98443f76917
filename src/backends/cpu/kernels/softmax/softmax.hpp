// SPDX-License-Identifier: Apache-2.0
// y = exp(t - max t) / sum exp(t - max t) with t = scale * x + mask, or its logarithm t - max t - log sum.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// Over rows of `cols` adjoining elements. Input and output may be the same memory (with equal ld).
struct Softmax {
  int64_t rows = 0, cols = 0;
  const float* in = nullptr;
  float* out = nullptr;
  ptrdiff_t ld_in = 0, ld_out = 0;  // elements between rows
  float scale = 1;
  bool log = false;
  // Added to each row: the rows are an array of row_dims[0] x [1] x [2] (their product is `rows`), and row (i, j, k) takes the mask's row
  // at i * mask_strides[0] + j * ... elements (0 broadcasts). null: none.
  const float* mask = nullptr;
  int64_t row_dims[3] = {1, 1, 1};
  ptrdiff_t mask_strides[3] = {0, 0, 0};
};
void run_softmax(const Softmax& softmax, ThreadPool& pool, Isa isa = kernel_isa());

// Over the middle axis of a dense [outer, axis, inner] tensor; in place is allowed.
void run_softmax_axis(const float* in, float* out, int64_t outer, int64_t axis, int64_t inner, bool log, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
