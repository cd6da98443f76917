// SPDX-License-Identifier: Apache-2.0
// out[i] = min(max(x[i], min), max): `min` and `max` are scalars, each may be absent; max wins when they cross.
// Source: ONNX Clip 11, 12, 13 (before 11 the bounds were attributes).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Clip {
  static constexpr OpInfo info{.name = "clip", .inputs = {"x", "min?", "max?"}, .onnx = {{"Clip", 11}}, .pointwise = true};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Clip&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Clip> permuted(const std::vector<int64_t>&) const { return *this; }
};

}  // namespace carnot::ops
