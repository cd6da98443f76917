// SPDX-License-Identifier: Apache-2.0
// y[n, place..., :] = theta[n] * (place, 1) for the places of a grid of shape size[2:] over [-1, 1], x first: what
// grid_sample takes. Source: ONNX AffineGrid 20.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct AffineGrid {
  static constexpr OpInfo info{.name = "affine_grid", .inputs = {"theta", "size"}, .onnx = {{"AffineGrid", 20}}};
  int64_t align_corners = 0;  // -1 and 1 are the centres of the outer elements; 0: their outer edges
  static constexpr auto fields() { return std::tuple{field("align_corners", &AffineGrid::align_corners)}; }
  bool operator==(const AffineGrid&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
