// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(variance + epsilon) * scale[c] + bias[c], mean and (biased) variance over each of num_groups
// groups of channels of each sample. Source: ONNX GroupNormalization 21 (18 had one scale a group). `stash_type`:
// precision of the statistics; ours are at least that.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GroupNormalization {
  static constexpr OpInfo info{
      .name = "group_normalization", .inputs = {"x", "scale", "bias"}, .onnx = {{"GroupNormalization", 21}}};
  double epsilon = 1e-5;
  int64_t num_groups = 1, stash_type = 1;
  std::string layout = "nchw";  // "nhwc": channels are the last axis
  static constexpr auto fields() {
    return std::tuple{field("epsilon", &GroupNormalization::epsilon),
                      field("num_groups", &GroupNormalization::num_groups),
                      field("stash_type", &GroupNormalization::stash_type),
                      field("layout", &GroupNormalization::layout)};
  }
  bool operator==(const GroupNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<GroupNormalization> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
