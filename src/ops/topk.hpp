// SPDX-License-Identifier: Apache-2.0
// values, indices = the k largest (or smallest) elements along `axis`, sorted; among equals the lower index first.
// Source: ONNX TopK 11, 24.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct TopK {
  static constexpr OpInfo info{.name = "topk", .inputs = {"x", "k"}, .outputs = {"values", "indices"}, .onnx = {{"TopK", 11}}};
  int64_t axis = -1;
  int64_t largest = 1;
  int64_t sorted = 1;  // an unsorted result may have any order: it is sorted too
  static constexpr auto fields() { return std::tuple{field("axis", &TopK::axis), field("largest", &TopK::largest), field("sorted", &TopK::sorted)}; }
  bool operator==(const TopK&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
