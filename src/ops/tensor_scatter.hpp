// SPDX-License-Identifier: Apache-2.0
// y = past_cache, but y[b, ..., write_indices[b] + i, ...] = update[b, ..., i, ...] along `axis`; write_indices is 0 if
// left out. Source: ONNX TensorScatter 24.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct TensorScatter {
  static constexpr OpInfo info{
      .name = "tensor_scatter", .inputs = {"past_cache", "update", "write_indices?"}, .onnx = {{"TensorScatter", 24}}};
  int64_t axis = -2;
  std::string mode = "linear";  // circular: places wrap around at the end
  static constexpr auto fields() {
    return std::tuple{field("axis", &TensorScatter::axis), field("mode", &TensorScatter::mode)};
  }
  bool operator==(const TensorScatter&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
