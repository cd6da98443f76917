// SPDX-License-Identifier: Apache-2.0
// Convolutions on cuDNN's graph API, channels last: with the whole epilogue in one engine where cuDNN has one, otherwise followed by a
// kernel of our own. The plans that its heuristics offer are timed on the device when the shape first runs.
//
//   y[n][o...][oc] = activation(bias[oc] + sum over k..., ic of x[n][o * stride + k * dilation - before][ic] * w[oc][k...][ic] + residual)
#pragma once
#include <cuda.h>

#include <memory>

#include "backends/cuda/kernels/epilogue.hpp"
#include "base/dtype.hpp"

namespace carnot::cuda {

// Spatial axes are depth, height and width; fewer leave the leading ones at their defaults.
struct Convolution {
  DType type = DType::kF32;  // of everything: f32, f16, bf16
  bool tf32 = false, transposed = false, bias = false, residual = false, volume = false;  // volume: three spatial axes
  int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  int64_t weight_channels = 1;  // channels that w has for each group; more than x has (one group): x is padded with zeros
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1};
  int64_t before[3] = {0, 0, 0}, after[3] = {0, 0, 0};  // padding
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;
  bool residual_after = false;
  int64_t choice = -1;  // which of the heuristics' plans; -1: time them
  int alignment = 16;   // bytes, of all pointers
  bool operator==(const Convolution&) const = default;
};

struct ConvolutionOperands {
  const void *x = nullptr, *w = nullptr, *bias = nullptr, *residual = nullptr;
  void* y = nullptr;
};

// A convolution of one shape on one device. Shared by everything in the process that has the same one; any thread may run it.
class ConvolutionPlan {
 public:
  // The plan for the calling thread's device. An error if cuDNN is missing; kUnsupported if it has no engine.
  static Result<std::shared_ptr<ConvolutionPlan>> get(const Convolution& convolution);
  virtual ~ConvolutionPlan() = default;
  virtual size_t workspace() const = 0;  // bytes, 256-byte aligned
  // Enqueues. While the stream is not being recorded, the first call times the plans, which overwrites y several times.
  virtual Status run(CUstream stream, const ConvolutionOperands& operands, void* workspace) = 0;
};

}  // namespace carnot::cuda
