// SPDX-License-Identifier: Apache-2.0
// y = (x - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + bias[c], c = axis 1: inference form, with stored statistics.
// Source: ONNX BatchNormalization 9, 14, 15 (training_mode 0). `momentum` belongs to training and changes nothing.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct BatchNormalization {
  static constexpr OpInfo info{
      .name = "batch_normalization",
      .inputs = {"x", "scale", "bias", "mean", "var"},
      .outputs = {"y", "running_mean?", "running_var?", "saved_mean?", "saved_var?"},  // but for y: training
      .onnx = {{"BatchNormalization", 9}}};
  double epsilon = 1e-5, momentum = 0.9;
  int64_t training_mode = 0;
  std::string layout = "nchw";  // "nhwc": channels are the last axis
  static constexpr auto fields() {
    return std::tuple{field("epsilon", &BatchNormalization::epsilon), field("momentum", &BatchNormalization::momentum),
                      field("training_mode", &BatchNormalization::training_mode),
                      field("layout", &BatchNormalization::layout)};
  }
  bool operator==(const BatchNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<BatchNormalization> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
