// SPDX-License-Identifier: Apache-2.0
// y = the inputs one behind the other along `axis`; all other dims agree. Source: ONNX Concat 4-13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Concat {
  static constexpr OpInfo info{.name = "concat", .inputs = {"x", "xs*"}, .onnx = {{"Concat", 4}}};
  int64_t axis = 0;
  static constexpr auto fields() { return std::tuple{required_field("axis", &Concat::axis)}; }
  bool operator==(const Concat&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Concat> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
