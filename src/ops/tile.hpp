// SPDX-License-Identifier: Apache-2.0
// y = x repeated repeats[i] times along axis i. Source: ONNX Tile 6, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Tile {
  static constexpr OpInfo info{.name = "tile", .inputs = {"x", "repeats"}, .onnx = {{"Tile", 6}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Tile&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
