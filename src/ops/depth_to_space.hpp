// SPDX-License-Identifier: Apache-2.0
// y[n, c, h*b + i, w*b + j] = x[n, channel of (c, i, j), h, w]: blocks of channels become blocks of places.
// Source: ONNX DepthToSpace 1, 11, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct DepthToSpace {
  static constexpr OpInfo info{.name = "depth_to_space", .inputs = {"x"}, .onnx = {{"DepthToSpace", 1}}};
  int64_t blocksize = 0;
  std::string mode = "DCR";  // DCR: the block offset is the slower part of the channel, CRD: the faster
  static constexpr auto fields() {
    return std::tuple{required_field("blocksize", &DepthToSpace::blocksize), field("mode", &DepthToSpace::mode)};
  }
  bool operator==(const DepthToSpace&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
