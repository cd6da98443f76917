// SPDX-License-Identifier: Apache-2.0
// y = 1 at the first maximum along `axis`, 0 elsewhere. Source: ONNX Hardmax 13 (one axis; the flattening form of
// opsets 1 to 12 is a reshape around it).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Hardmax {
  static constexpr OpInfo info{.name = "hardmax", .inputs = {"x"}, .onnx = {{"Hardmax", 13}}};
  int64_t axis = -1;
  static constexpr auto fields() { return std::tuple{field("axis", &Hardmax::axis)}; }
  bool operator==(const Hardmax&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Hardmax> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
