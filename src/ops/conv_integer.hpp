// SPDX-License-Identifier: Apache-2.0
// conv of (x - x_zero_point) with (w - w_zero_point) in i32; padding counts as x_zero_point; one zero point of w, or
// one a filter. Source: ONNX ConvInteger 10.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ConvInteger {
  static constexpr OpInfo info{
      .name = "conv_integer", .inputs = {"x", "w", "x_zero_point?", "w_zero_point?"}, .onnx = {{"ConvInteger", 10}}};
  std::string auto_pad = "NOTSET";
  std::vector<int64_t> kernel_shape;  // empty: w's
  std::vector<int64_t> strides, pads, dilations;
  int64_t group = 1;
  static constexpr auto fields() {
    return std::tuple{field("auto_pad", &ConvInteger::auto_pad),   field("kernel_shape", &ConvInteger::kernel_shape),
                      field("strides", &ConvInteger::strides),     field("pads", &ConvInteger::pads),
                      field("dilations", &ConvInteger::dilations), field("group", &ConvInteger::group)};
  }
  bool operator==(const ConvInteger&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
