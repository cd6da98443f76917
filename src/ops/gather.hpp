// SPDX-License-Identifier: Apache-2.0
// out[a..., i..., b...] = data[a..., indices[i...], b...] along `axis`; a negative index counts from the end.
// Source: ONNX Gather 1, 11, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Gather {
  static constexpr OpInfo info{.name = "gather", .inputs = {"data", "indices"}, .onnx = {{"Gather"}}};
  int64_t axis = 0;
  static constexpr auto fields() { return std::tuple{field("axis", &Gather::axis)}; }
  bool operator==(const Gather&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
