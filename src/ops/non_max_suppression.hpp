// SPDX-License-Identifier: Apache-2.0
// Picks boxes greedily by score: for each batch and class, the best box that overlaps none picked before by more than iou_threshold.
// boxes [batch, n, 4], scores [batch, classes, n] -> i64[picked, 3] of (batch, class, box). Source: ONNX NonMaxSuppression 10, 11.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct NonMaxSuppression {
  static constexpr OpInfo info{
      .name = "non_max_suppression",
      .inputs = {"boxes", "scores", "max_output_boxes_per_class?", "iou_threshold?", "score_threshold?"},
      .onnx = {{"NonMaxSuppression", 10}}};
  int64_t center_point_box = 0;  // 0: y1 x1 y2 x2 (any two diagonal corners), 1: x y width height
  static constexpr auto fields() { return std::tuple{field("center_point_box", &NonMaxSuppression::center_point_box)}; }
  bool operator==(const NonMaxSuppression&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
