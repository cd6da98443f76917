// SPDX-License-Identifier: Apache-2.0
// What follows a product or a convolution in the same command. Parameters of the command: activation, alpha, beta, residual_after.
#pragma once
#include "base/attr.hpp"
#include "base/result.hpp"

namespace carnot::cuda {

// The numbers of device/fused.cu.
enum class Activation : int { kNone, kRelu, kLeakyRelu, kSigmoid, kSilu, kTanh, kGelu, kGeluTanh, kHardSigmoid, kHardSwish, kQuickGelu, kClip };

struct Epilogue {
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;    // leaky_relu: slope; hard_sigmoid, hard_swish: alpha * x + beta; clip: bounds
  bool residual_after = false;  // else the residual is added before the activation
};

Result<Epilogue> read_epilogue(const Attrs& params);

}  // namespace carnot::cuda
