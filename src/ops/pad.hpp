// SPDX-License-Identifier: Apache-2.0
// y = x with pads[i] elements put before and pads[rank + i] after axis i (negative ones cut off). Modes: constant, reflect (without
// the edge), edge, wrap. Source: ONNX Pad 11-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Pad {
  static constexpr OpInfo info{.name = "pad", .inputs = {"x", "pads", "value?", "axes?"}, .onnx = {{"Pad", 11}}};
  std::string mode = "constant";
  static constexpr auto fields() { return std::tuple{field("mode", &Pad::mode)}; }
  bool operator==(const Pad&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
