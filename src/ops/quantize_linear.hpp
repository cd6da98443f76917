// SPDX-License-Identifier: Apache-2.0
// y = saturate(round-half-even(x / scale) + zero_point): one scale, one along `axis`, or one a block of block_size
// along it. The type of y is zero_point's, else output_dtype (ONNX's number), else u8. `saturate` and `precision`
// concern float8 alone. Source: ONNX QuantizeLinear 10, 13, 19, 21, 23.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct QuantizeLinear {
  static constexpr OpInfo info{
      .name = "quantize_linear", .inputs = {"x", "scale", "zero_point?"}, .onnx = {{"QuantizeLinear", 10}}};
  int64_t axis = 1, block_size = 0, output_dtype = 0, precision = 0, saturate = 1;
  static constexpr auto fields() {
    return std::tuple{field("axis", &QuantizeLinear::axis), field("block_size", &QuantizeLinear::block_size),
                      field("output_dtype", &QuantizeLinear::output_dtype),
                      field("precision", &QuantizeLinear::precision), field("saturate", &QuantizeLinear::saturate)};
  }
  bool operator==(const QuantizeLinear&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
