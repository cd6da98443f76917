// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(variance + epsilon) * scale[c] + bias[c], mean and (biased) variance over the spatial axes of
// each channel of each sample. Source: ONNX InstanceNormalization 6, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct InstanceNormalization {
  static constexpr OpInfo info{
      .name = "instance_normalization", .inputs = {"x", "scale", "bias"}, .onnx = {{"InstanceNormalization", 6}}};
  double epsilon = 1e-5;
  std::string layout = "nchw";  // "nhwc": channels are the last axis
  static constexpr auto fields() {
    return std::tuple{field("epsilon", &InstanceNormalization::epsilon),
                      field("layout", &InstanceNormalization::layout)};
  }
  bool operator==(const InstanceNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<InstanceNormalization> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
