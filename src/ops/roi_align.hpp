// SPDX-License-Identifier: Apache-2.0
// y[r, c, i, j] = mean (or max) of bilinear samples of x[batch_indices[r], c] in bin (i, j) of box rois[r] = (x1, y1,
// x2, y2). Mode max takes the largest of the four weighted corners of all samples, as ONNX defines it. Source: ONNX
// RoiAlign 10 (output_half_pixel), 16, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct RoiAlign {
  static constexpr OpInfo info{
      .name = "roi_align", .inputs = {"x", "rois", "batch_indices"}, .onnx = {{"RoiAlign", 16}}};
  std::string coordinate_transformation_mode = "half_pixel";  // or output_half_pixel: no shift, boxes of at least 1
  std::string mode = "avg";
  int64_t output_height = 1;
  int64_t output_width = 1;
  int64_t sampling_ratio = 0;  // samples per bin and axis; 0: as many as the bin spans places
  double spatial_scale = 1;
  static constexpr auto fields() {
    return std::tuple{field("coordinate_transformation_mode", &RoiAlign::coordinate_transformation_mode),
                      field("mode", &RoiAlign::mode),
                      field("output_height", &RoiAlign::output_height),
                      field("output_width", &RoiAlign::output_width),
                      field("sampling_ratio", &RoiAlign::sampling_ratio),
                      field("spatial_scale", &RoiAlign::spatial_scale)};
  }
  bool operator==(const RoiAlign&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
