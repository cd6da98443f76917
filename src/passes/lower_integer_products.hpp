// SPDX-License-Identifier: Apache-2.0
// With zero points that are one number, or for b and w one for each column or channel:
//   matmul_integer(a, b, za, zb) => cast<i32>(matmul(cast(a) - za, cast(b) - zb))
//   conv_integer(x, w, zx, zw)   => cast<i32>(conv(cast(x) - zx, cast(w) - zw))
// in f32, which has fast kernels and adds up integers exactly below 2^24. So it is done where no sum can be larger, or where every
// use makes a f32 of the result anyway. Source: ONNX MatMulInteger 10, ConvInteger 10.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct LowerIntegerProducts {
  static constexpr std::string_view name = "lower-integer-products";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
