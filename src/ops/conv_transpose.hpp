// SPDX-License-Identifier: Apache-2.0
// y[n,m,i*stride - pad + k*dilation ...] += x[n,c,i...] * w[c,m,k...] for c in m's group, plus bias[m]: the gradient of
// conv. x and y are channels-first or, with layout "nhwc", channels-last; w is [c, m/groups, k...] in both. Source:
// ONNX ConvTranspose 1, 11, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ConvTranspose {
  static constexpr OpInfo info{.name = "conv_transpose", .inputs = {"x", "w", "bias?"}, .onnx = {{"ConvTranspose"}}};
  std::string auto_pad = "NOTSET";
  std::vector<int64_t> kernel_shape;  // empty: w's
  std::vector<int64_t> strides, pads, dilations;
  std::vector<int64_t> output_padding;  // added behind each axis
  std::vector<int64_t> output_shape;    // spatial extents of y; the pads follow
  int64_t group = 1;
  std::string layout = "nchw";
  static constexpr auto fields() {
    return std::tuple{field("auto_pad", &ConvTranspose::auto_pad),
                      field("kernel_shape", &ConvTranspose::kernel_shape),
                      field("strides", &ConvTranspose::strides),
                      field("pads", &ConvTranspose::pads),
                      field("dilations", &ConvTranspose::dilations),
                      field("output_padding", &ConvTranspose::output_padding),
                      field("output_shape", &ConvTranspose::output_shape),
                      field("group", &ConvTranspose::group),
                      field("layout", &ConvTranspose::layout)};
  }
  bool operator==(const ConvTranspose&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<ConvTranspose> permuted(const std::vector<int64_t>& perm) const;
};

// Pads before each axis for concrete extents, with auto_pad and output_shape resolved.
std::vector<int64_t> begin_pads(const ConvTranspose& op, const Dims& in, const Dims& kernel);

}  // namespace carnot::ops
