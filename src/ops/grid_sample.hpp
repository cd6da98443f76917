// SPDX-License-Identifier: Apache-2.0
// y[n, c, o...] = x[n, c] sampled at the place grid[n, o...] = (x, y, ...) with coordinates in [-1, 1], any number of
// spatial axes. Source: ONNX GridSample 16 (modes bilinear and bicubic), 20, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GridSample {
  static constexpr OpInfo info{.name = "grid_sample", .inputs = {"x", "grid"}, .onnx = {{"GridSample", 20}}};
  int64_t align_corners = 0;           // -1 and 1 are the centres of the outer elements; 0: their outer edges
  std::string mode = "linear";         // linear, nearest, cubic
  std::string padding_mode = "zeros";  // zeros, border, reflection
  static constexpr auto fields() {
    return std::tuple{field("align_corners", &GridSample::align_corners), field("mode", &GridSample::mode),
                      field("padding_mode", &GridSample::padding_mode)};
  }
  bool operator==(const GridSample&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
