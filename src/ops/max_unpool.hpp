// SPDX-License-Identifier: Apache-2.0
// Undoes a max_pool: y is 0 but for y[indices[i]] = x[i], places counted in the tensor of the size that was pooled. A
// given output_shape adds zeros behind it. Source: ONNX MaxUnpool 9, 11, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct MaxUnpool {
  static constexpr OpInfo info{
      .name = "max_unpool", .inputs = {"x", "indices", "output_shape?"}, .onnx = {{"MaxUnpool", 9}}};
  std::vector<int64_t> kernel_shape;
  std::vector<int64_t> pads;
  std::vector<int64_t> strides;
  static constexpr auto fields() {
    return std::tuple{required_field("kernel_shape", &MaxUnpool::kernel_shape), field("pads", &MaxUnpool::pads),
                      field("strides", &MaxUnpool::strides)};
  }
  bool operator==(const MaxUnpool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
