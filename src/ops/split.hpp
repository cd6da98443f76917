// SPDX-License-Identifier: Apache-2.0
// The input cut into parts along `axis`: of the sizes in `split`, or else num_outputs equal ones (the last may be smaller).
// Source: ONNX Split 13, 18.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Split {
  static constexpr OpInfo info{.name = "split", .inputs = {"x", "split?"}, .outputs = {"y", "ys*"}, .onnx = {{"Split", 13}}};
  int64_t axis = 0;
  int64_t num_outputs = 0;  // 0: the number of outputs asked for
  static constexpr auto fields() { return std::tuple{field("axis", &Split::axis), field("num_outputs", &Split::num_outputs)}; }
  bool operator==(const Split&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
