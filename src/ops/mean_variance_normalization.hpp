// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / (sqrt(variance) + 1e-9), mean and (biased) variance over `axes`. Source: ONNX
// MeanVarianceNormalization 9, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct MeanVarianceNormalization {
  static constexpr OpInfo info{
      .name = "mean_variance_normalization", .inputs = {"x"}, .onnx = {{"MeanVarianceNormalization", 9}}};
  std::vector<int64_t> axes = {0, 2, 3};
  static constexpr auto fields() { return std::tuple{field("axes", &MeanVarianceNormalization::axes)}; }
  bool operator==(const MeanVarianceNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<MeanVarianceNormalization> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
