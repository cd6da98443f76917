// SPDX-License-Identifier: Apache-2.0
// y[n, (i*b + j)*C + c, h, w] = x[n, c, h*b + i, w*b + j]: blocks of places become blocks of channels.
// Source: ONNX SpaceToDepth 1, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct SpaceToDepth {
  static constexpr OpInfo info{.name = "space_to_depth", .inputs = {"x"}, .onnx = {{"SpaceToDepth", 1}}};
  int64_t blocksize = 0;
  static constexpr auto fields() { return std::tuple{required_field("blocksize", &SpaceToDepth::blocksize)}; }
  bool operator==(const SpaceToDepth&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
