// SPDX-License-Identifier: Apache-2.0
// y[n,o,p...] = bias[o] + sum over c, k... of x[n, g*C/groups + c, p*stride - pad + k*dilation ...] * w[o,c,k...], g =
// o's group. x and y are channels-first or, with layout "nhwc", channels-last; w is [o, c/groups, k...] in both.
// Source: ONNX Conv 1, 11, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Conv {
  static constexpr OpInfo info{.name = "conv", .inputs = {"x", "w", "bias?"}, .onnx = {{"Conv"}}};
  std::string auto_pad = "NOTSET";
  std::vector<int64_t> kernel_shape;  // empty: w's
  std::vector<int64_t> strides, pads, dilations;
  int64_t group = 1;
  std::string layout = "nchw";
  static constexpr auto fields() {
    return std::tuple{field("auto_pad", &Conv::auto_pad),   field("kernel_shape", &Conv::kernel_shape),
                      field("strides", &Conv::strides),     field("pads", &Conv::pads),
                      field("dilations", &Conv::dilations), field("group", &Conv::group),
                      field("layout", &Conv::layout)};
  }
  bool operator==(const Conv&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Conv> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
