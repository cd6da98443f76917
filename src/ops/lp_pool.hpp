// SPDX-License-Identifier: Apache-2.0
// y[q...] = (sum over the window of |x|^p)^(1/p) per channel. Source: ONNX LpPool 2, 11, 18, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct LpPool {
  static constexpr OpInfo info{.name = "lp_pool", .inputs = {"x"}, .onnx = {{"LpPool", 2}}};
  std::string auto_pad = "NOTSET";
  int64_t ceil_mode = 0, p = 2;
  std::vector<int64_t> kernel_shape, strides, pads, dilations;
  std::string layout = "nchw";
  static constexpr auto fields() {
    return std::tuple{required_field("kernel_shape", &LpPool::kernel_shape),
                      field("auto_pad", &LpPool::auto_pad),
                      field("ceil_mode", &LpPool::ceil_mode),
                      field("p", &LpPool::p),
                      field("strides", &LpPool::strides),
                      field("pads", &LpPool::pads),
                      field("dilations", &LpPool::dilations),
                      field("layout", &LpPool::layout)};
  }
  bool operator==(const LpPool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<LpPool> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
