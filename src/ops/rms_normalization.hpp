// SPDX-License-Identifier: Apache-2.0
// y = x / sqrt(mean(x^2) + epsilon) * scale, the mean over the axes from `axis` on. Source: ONNX RMSNormalization 23.
// `stash_type`: precision of the mean; ours is at least that.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct RmsNormalization {
  static constexpr OpInfo info{
      .name = "rms_normalization", .inputs = {"x", "scale"}, .onnx = {{"RMSNormalization", 23}}};
  int64_t axis = -1;
  double epsilon = 1e-5;
  int64_t stash_type = 1;
  static constexpr auto fields() {
    return std::tuple{field("axis", &RmsNormalization::axis), field("epsilon", &RmsNormalization::epsilon),
                      field("stash_type", &RmsNormalization::stash_type)};
  }
  bool operator==(const RmsNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
