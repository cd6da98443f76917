// SPDX-License-Identifier: Apache-2.0
// y[p...] = mean over the window of x per channel. With count_include_pad padding counts as zeros (but not what
// ceil_mode reaches beyond it); without, only elements of x count. Source: ONNX AveragePool 1, 7, 10, 11, 19, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct AveragePool {
  static constexpr OpInfo info{.name = "average_pool", .inputs = {"x"}, .onnx = {{"AveragePool"}}};
  std::string auto_pad = "NOTSET";
  int64_t ceil_mode = 0, count_include_pad = 0;
  std::vector<int64_t> kernel_shape, strides, pads, dilations;
  std::string layout = "nchw";
  static constexpr auto fields() {
    return std::tuple{required_field("kernel_shape", &AveragePool::kernel_shape),
                      field("auto_pad", &AveragePool::auto_pad),
                      field("ceil_mode", &AveragePool::ceil_mode),
                      field("count_include_pad", &AveragePool::count_include_pad),
                      field("strides", &AveragePool::strides),
                      field("pads", &AveragePool::pads),
                      field("dilations", &AveragePool::dilations),
                      field("layout", &AveragePool::layout)};
  }
  bool operator==(const AveragePool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<AveragePool> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
