// SPDX-License-Identifier: Apache-2.0
// y = x sampled on another grid: nearest, linear or cubic, with ONNX's coordinate modes, antialiasing and cropping.
// Separable: each resized axis is one weighted sum. `scales` or `sizes` name the resized axes in the order of `axes` (all, if empty).
// Source: ONNX Resize 11, 13, 18, 19 (Upsample and Resize 10 are mapped onto it).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Resize {
  static constexpr OpInfo info{.name = "resize", .inputs = {"x", "roi?", "scales?", "sizes?"}, .onnx = {{"Resize", 11}}};
  int64_t antialias = 0;
  std::vector<int64_t> axes;
  std::string coordinate_transformation_mode = "half_pixel";
  double cubic_coeff_a = -0.75;
  int64_t exclude_outside = 0;
  double extrapolation_value = 0;
  std::string keep_aspect_ratio_policy = "stretch";
  std::string mode = "nearest";
  std::string nearest_mode = "round_prefer_floor";
  static constexpr auto fields() {
    return std::tuple{field("antialias", &Resize::antialias),
                      field("axes", &Resize::axes),
                      field("coordinate_transformation_mode", &Resize::coordinate_transformation_mode),
                      field("cubic_coeff_a", &Resize::cubic_coeff_a),
                      field("exclude_outside", &Resize::exclude_outside),
                      field("extrapolation_value", &Resize::extrapolation_value),
                      field("keep_aspect_ratio_policy", &Resize::keep_aspect_ratio_policy),
                      field("mode", &Resize::mode),
                      field("nearest_mode", &Resize::nearest_mode)};
  }
  bool operator==(const Resize&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  // Only with `axes` set: without, the operands have one entry for each axis in order.
  std::optional<Resize> permuted(const std::vector<int64_t>& perm) const;

  // One axis of one run: for each output place the input places it reads and their weights. Kernels use it too.
  struct Axis {
    std::vector<int64_t> index;   // taps per output
    std::vector<float> weight;    // same layout; empty: nearest (one tap, weight 1)
    std::vector<bool> outside;    // tf_crop_and_resize: takes extrapolation_value
    int64_t taps = 1;
  };
  // scale: output / input; roi_start and roi_end as fractions.
  Axis axis_table(int64_t in, int64_t out, double scale, double roi_start, double roi_end) const;
};

}  // namespace carnot::ops
