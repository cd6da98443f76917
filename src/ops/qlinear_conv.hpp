// SPDX-License-Identifier: Apache-2.0
// y = quantize(conv(dequantize(x), dequantize(w)) + bias * x_scale * w_scale); w's scale and zero point are one number
// or one a filter, bias is i32. Source: ONNX QLinearConv 10.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct QLinearConv {
  static constexpr OpInfo info{
      .name = "qlinear_conv",
      .inputs = {"x", "x_scale", "x_zero_point", "w", "w_scale", "w_zero_point", "y_scale", "y_zero_point", "bias?"},
      .onnx = {{"QLinearConv", 10}}};
  std::string auto_pad = "NOTSET";
  std::vector<int64_t> kernel_shape;  // empty: w's
  std::vector<int64_t> strides, pads, dilations;
  int64_t group = 1;
  static constexpr auto fields() {
    return std::tuple{field("auto_pad", &QLinearConv::auto_pad),   field("kernel_shape", &QLinearConv::kernel_shape),
                      field("strides", &QLinearConv::strides),     field("pads", &QLinearConv::pads),
                      field("dilations", &QLinearConv::dilations), field("group", &QLinearConv::group)};
  }
  bool operator==(const QLinearConv&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
