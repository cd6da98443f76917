// SPDX-License-Identifier: Apache-2.0
// numpy's matrix product over symbolic shapes and over widened numbers, shared by matmul and its quantized forms.
#pragma once
#include <span>

#include "ops/support_check.hpp"

namespace carnot::ops {

// Shape of a @ b; the error names both operands.
Result<Shape> matmul_shape(const Shape& a, const Shape& b);
// Elements of a @ b, row-major, for shapes that matmul_shape admitted.
std::vector<double> matmul(std::span<const double> a, const Dims& a_dims, std::span<const double> b,
                           const Dims& b_dims);
std::vector<int64_t> matmul(std::span<const int64_t> a, const Dims& a_dims, std::span<const int64_t> b,
                            const Dims& b_dims);

}  // namespace carnot::ops
