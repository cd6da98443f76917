// SPDX-License-Identifier: Apache-2.0
// With scale s and zero point z constant, one number each or one for each place of an axis:
//   quantize_linear(x, s, z) => cast(clip(round(x / s) + z, low, high))        dequantize_linear(x, s, z) => (cast(x) - z) * s
// so that quantized models run as element-wise work, which fuses with what stands around it, and no layout ends at such a node. Only
// f32; the same bits but for NaN, which becomes 0 and not z. Source: ONNX QuantizeLinear and DequantizeLinear 10 to 21.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct LowerQuantize {
  static constexpr std::string_view name = "lower-quantize";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
