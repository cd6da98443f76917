// SPDX-License-Identifier: Apache-2.0
// The distinct elements of x (or distinct slices along `axis`), where each first occurs, which one each element is, and
// how often each occurs. NaN equals NaN and comes last. Source: ONNX Unique 11.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Unique {
  static constexpr OpInfo info{.name = "unique",
                               .inputs = {"x"},
                               .outputs = {"y", "indices?", "inverse_indices?", "counts?"},
                               .onnx = {{"Unique", 11}}};
  std::optional<int64_t> axis;  // absent: of the flattened tensor
  int64_t sorted = 1;           // 0: in the order of first occurrence
  static constexpr auto fields() { return std::tuple{field("axis", &Unique::axis), field("sorted", &Unique::sorted)}; }
  bool operator==(const Unique&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
