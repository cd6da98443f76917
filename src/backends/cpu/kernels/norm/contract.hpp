// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "backends/cpu/kernels/norm/norm.hpp"

namespace carnot::cpu {

struct NormTable {
  // Row r of a RowNorm.
  void (*row)(const RowNorm& norm, int64_t r);
  // Sum of n elements, and of their squared distances from mean.
  double (*sum)(const float* x, int64_t n);
  double (*squares)(const float* x, int64_t n, float mean);
  // out = in * a + b on n elements.
  void (*affine)(const float* in, float a, float b, float* out, int64_t n);
  // The same by columns: `width` <= kNormColumns adjoining channels of `pixels` rows, `stride` elements apart.
  void (*column_sums)(const float* x, int64_t pixels, int64_t stride, int64_t width, double* sums);
  void (*column_squares)(const float* x, int64_t pixels, int64_t stride, int64_t width, const float* means, double* sums);
  void (*column_affine)(const float* in, float* out, int64_t pixels, int64_t stride, int64_t width, const float* a, const float* b);
};
inline constexpr int64_t kNormColumns = 64;
const NormTable& norm_table(Isa isa);

}  // namespace carnot::cpu
