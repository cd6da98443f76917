// SPDX-License-Identifier: Apache-2.0
// y = (x - zero_point) * scale: one scale, one along `axis`, or one a block of block_size along it. The type of y is
// output_dtype (ONNX's number), else scale's. Source: ONNX DequantizeLinear 10, 13, 19, 21, 23.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct DequantizeLinear {
  static constexpr OpInfo info{
      .name = "dequantize_linear", .inputs = {"x", "scale", "zero_point?"}, .onnx = {{"DequantizeLinear", 10}}};
  int64_t axis = 1, block_size = 0, output_dtype = 0;
  static constexpr auto fields() {
    return std::tuple{field("axis", &DequantizeLinear::axis), field("block_size", &DequantizeLinear::block_size),
                      field("output_dtype", &DequantizeLinear::output_dtype)};
  }
  bool operator==(const DequantizeLinear&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
