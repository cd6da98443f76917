// SPDX-License-Identifier: Apache-2.0
// Local response normalization: y = x / (bias + alpha / size * sum of x^2 over `size` neighbouring channels)^beta.
// Source: ONNX LRN 1, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Lrn {
  static constexpr OpInfo info{.name = "lrn", .inputs = {"x"}, .onnx = {{"LRN"}}};
  double alpha = 1e-4, beta = 0.75, bias = 1;
  int64_t size = 1;
  static constexpr auto fields() {
    return std::tuple{field("alpha", &Lrn::alpha), field("beta", &Lrn::beta), field("bias", &Lrn::bias),
                      required_field("size", &Lrn::size)};
  }
  bool operator==(const Lrn&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
