// SPDX-License-Identifier: Apache-2.0
// y = x, mask = all true: dropout does nothing at inference. Source: ONNX Dropout 12-22 with training_mode false.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Dropout {
  static constexpr OpInfo info{.name = "dropout", .inputs = {"x", "ratio?", "training_mode?"}, .outputs = {"y", "mask?"}, .onnx = {{"Dropout", 12}}};
  int64_t seed = 0;
  static constexpr auto fields() { return std::tuple{field("seed", &Dropout::seed)}; }
  bool operator==(const Dropout&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
