// SPDX-License-Identifier: Apache-2.0
// Normalisations in fp32: y = (x - mean) / sqrt(var + eps) * scale + bias over rows (layer norm, rms norm) or over groups of channels
// (group norm; instance norm is one channel a group). The variance is computed in a second pass around the mean.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// Over rows of `cols` adjoining elements. Output, input, residual and sum may be the same memory where their strides are equal.
struct RowNorm {
  int64_t rows = 0, cols = 0;
  const float* in = nullptr;
  ptrdiff_t ld_in = 0;  // elements between rows
  // Added to the input before anything else; null: none. `sum` (optional) receives in + residual.
  const float* residual = nullptr;
  ptrdiff_t ld_residual = 0;
  float* sum = nullptr;
  ptrdiff_t ld_sum = 0;
  float* out = nullptr;
  ptrdiff_t ld_out = 0;
  const float* scale = nullptr;  // one per column, or null
  const float* bias = nullptr;   // likewise
  float epsilon = 1e-5f;
  bool rms = false;  // x / sqrt(mean(x^2) + eps) * scale + bias
};
void run_row_norm(const RowNorm& norm, ThreadPool& pool, Isa isa = kernel_isa());

// Over groups of channels: statistics over pixels x channels / groups elements of each image. Dense, in place is allowed.
struct GroupNorm {
  int64_t batch = 0, channels = 0, pixels = 0;
  int64_t groups = 1;            // divides channels; groups == channels: instance norm
  bool channels_last = false;    // [batch, pixels, channels] instead of [batch, channels, pixels]
  const float* in = nullptr;
  float* out = nullptr;
  const float* scale = nullptr;  // one per channel, or null
  const float* bias = nullptr;
  float epsilon = 1e-5f;
};
void run_group_norm(const GroupNorm& norm, ThreadPool& pool, Isa isa = kernel_isa());

// y = x / max(sqrt(sum x^2), epsilon) over the middle axis of a dense [outer, axis, inner] tensor; 0 where the divisor is 0. In place is
// allowed.
void run_l2_norm(const float* in, float* out, int64_t outer, int64_t axis, int64_t inner, float epsilon, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
