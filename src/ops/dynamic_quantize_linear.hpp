// SPDX-License-Identifier: Apache-2.0
// Quantizes to u8 by the range of x itself, zero included: scale = (max - min) / 255, zero_point = round(-min / scale).
// Source: ONNX DynamicQuantizeLinear 11.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct DynamicQuantizeLinear {
  static constexpr OpInfo info{.name = "dynamic_quantize_linear",
                               .inputs = {"x"},
                               .outputs = {"y", "y_scale", "y_zero_point"},
                               .onnx = {{"DynamicQuantizeLinear", 11}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const DynamicQuantizeLinear&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
