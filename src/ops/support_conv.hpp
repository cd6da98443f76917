// SPDX-License-Identifier: Apache-2.0
// Shape rule and sum of a convolution over widened numbers, shared by conv, conv_integer and qlinear_conv.
#pragma once
#include "ops/conv.hpp"
#include "ops/support_spatial.hpp"

namespace carnot::ops {

// Shape of y. `w_index`: which input of `info` the weights are (their shape is checked against x and the attributes).
Result<Shape> conv_shape(const Conv& conv, const InferCtx& ctx, const OpInfo& info, size_t w_index);
// The sums without bias. Integers stay exact: a double holds every sum of fewer than 2^37 products of bytes.
Planes convolve(const Conv& conv, const Planes& x, std::span<const double> w, const Dims& w_dims);

}  // namespace carnot::ops
