// SPDX-License-Identifier: Apache-2.0
// Adds the columns of x [batch, channels * block, blocks], each a block of the image, into [batch, channels, image...].
// Source: ONNX Col2Im 18.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Col2Im {
  static constexpr OpInfo info{
      .name = "col2im", .inputs = {"x", "image_shape", "block_shape"}, .onnx = {{"Col2Im", 18}}};
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads;
  std::vector<int64_t> strides;
  static constexpr auto fields() {
    return std::tuple{field("dilations", &Col2Im::dilations), field("pads", &Col2Im::pads),
                      field("strides", &Col2Im::strides)};
  }
  bool operator==(const Col2Im&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
