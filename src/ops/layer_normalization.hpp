// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(variance + epsilon) * scale + bias, mean and (biased) variance over the axes from `axis` on.
// Source: ONNX LayerNormalization 17. `stash_type` is the precision of the statistics; ours are at least that.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct LayerNormalization {
  static constexpr OpInfo info{.name = "layer_normalization",
                               .inputs = {"x", "scale", "bias?"},
                               .outputs = {"y", "mean?", "inv_std_dev?"},
                               .onnx = {{"LayerNormalization", 17}}};
  int64_t axis = -1;
  double epsilon = 1e-5;
  int64_t stash_type = 1;
  static constexpr auto fields() {
    return std::tuple{field("axis", &LayerNormalization::axis), field("epsilon", &LayerNormalization::epsilon),
                      field("stash_type", &LayerNormalization::stash_type)};
  }
  bool operator==(const LayerNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
