// SPDX-License-Identifier: Apache-2.0
// x cut or padded with zeros on both sides of each axis to the given sizes; of an odd difference the smaller half is in
// front. Source: ONNX CenterCropPad 18.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct CenterCropPad {
  static constexpr OpInfo info{.name = "center_crop_pad", .inputs = {"x", "shape"}, .onnx = {{"CenterCropPad", 18}}};
  std::vector<int64_t> axes;  // empty: all
  static constexpr auto fields() { return std::tuple{field("axes", &CenterCropPad::axes)}; }
  bool operator==(const CenterCropPad&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
