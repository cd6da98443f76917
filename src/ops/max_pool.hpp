// SPDX-License-Identifier: Apache-2.0
// y[p...] = max over k of x[p*stride - pad + k*dilation ...] per channel; padding never wins. `indices`: where it was
// found, as a flat number in the [n, c, spatial...] tensor (whatever `layout`; column-major inside a plane with
// storage_order 1). Source: ONNX MaxPool 1, 8, 10, 11, 12, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct MaxPool {
  static constexpr OpInfo info{
      .name = "max_pool", .inputs = {"x"}, .outputs = {"y", "indices?"}, .onnx = {{"MaxPool"}}};
  std::string auto_pad = "NOTSET";
  int64_t ceil_mode = 0, storage_order = 0;
  std::vector<int64_t> kernel_shape, strides, pads, dilations;
  std::string layout = "nchw";
  static constexpr auto fields() {
    return std::tuple{required_field("kernel_shape", &MaxPool::kernel_shape),
                      field("auto_pad", &MaxPool::auto_pad),
                      field("ceil_mode", &MaxPool::ceil_mode),
                      field("storage_order", &MaxPool::storage_order),
                      field("strides", &MaxPool::strides),
                      field("pads", &MaxPool::pads),
                      field("dilations", &MaxPool::dilations),
                      field("layout", &MaxPool::layout)};
  }
  bool operator==(const MaxPool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<MaxPool> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
