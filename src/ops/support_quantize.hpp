// SPDX-License-Identifier: Apache-2.0
// Scales and zero points: what the quantized operators share.
#pragma once
#include "ops/support_check.hpp"

namespace carnot::ops {

// Inclusive range of an integer dtype.
struct IntRange {
  double low = 0, high = 0;
};
IntRange int_range(DType dtype);
// round-half-even(value) + zero_point, saturated. `value` is rounded to f32 first, which is the precision that ties are
// decided in.
double quantize(double value, double zero_point, IntRange range);

// Input i must be an 8-bit integer tensor.
Status expect_byte(const InferCtx& ctx, const OpInfo& info, size_t i);
// Input i must be a scalar, or a vector of one element or of `channels`.
Status expect_scalar_or_vector(const InferCtx& ctx, const OpInfo& info, size_t i, const Dim& channels);
// Element k of a parameter that may be one number for all; `absent` if there is no such input.
struct Parameter {
  std::vector<double> values;
  double at(size_t k) const { return values[values.size() == 1 ? 0 : k]; }
};
Result<Parameter> load_parameter(const EvalCtx& ctx, size_t i, double absent);

// Where the scale of element i of a tensor lies: one scale, one along `axis`, or one a block of `block_size` along
// `axis`.
struct ScaleIndex {
  Dims dims, scale_dims;
  int64_t axis = 0, block_size = 0;
  size_t at(size_t i) const;
};
// Checks shapes of scale (input 1) and zero point (input 2) of (de)quantize_linear.
Status expect_scales(const InferCtx& ctx, const OpInfo& info, int64_t axis, int64_t block_size);

}  // namespace carnot::ops
