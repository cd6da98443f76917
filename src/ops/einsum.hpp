// SPDX-License-Identifier: Apache-2.0
// Einstein summation: y[output labels] = sum over the other labels of the product of the inputs, as numpy.einsum
// ("ij,jk->ik"; repeated labels take diagonals, "..." broadcasts, without "->" the labels that occur once are the
// output in order). Source: ONNX Einsum 12.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Einsum {
  static constexpr OpInfo info{.name = "einsum", .inputs = {"x", "more*"}, .onnx = {{"Einsum", 12}}};
  std::string equation;
  static constexpr auto fields() { return std::tuple{required_field("equation", &Einsum::equation)}; }
  bool operator==(const Einsum&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
