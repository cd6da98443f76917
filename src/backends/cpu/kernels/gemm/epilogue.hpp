// SPDX-License-Identifier: Apache-2.0
// What happens to a finished sum before it is stored: bias, residual, activation, and a callback on rows that are still
// in cache.
#pragma once
#include <cstddef>
#include <cstdint>

namespace carnot::cpu {

// How a product is cut where the kernels' own choice is not wanted; 0 leaves it to them. Any value is safe, and none changes a bit of a
// result, so a tuner may try them all. Convolutions say in conv.hpp what they make of it.
struct Blocking {
  int64_t panels = 0;   // of 16 columns, of the tiles that do most of the work; a width that has no kernel is left to them
  int64_t depth = 0;    // of one pass over A
  int64_t rows = 0;     // of a task, at most
  int64_t columns = 0;  // how many tasks share the columns
  bool operator==(const Blocking&) const = default;
};

enum class Activation : uint8_t {
  kNone,
  kRelu,         // max(x, 0)
  kClip,         // min(max(x, alpha), beta)
  kLeakyRelu,    // x < 0 ? alpha * x : x
  kSigmoid,      // 1 / (1 + e^-x)
  kSilu,         // x * sigmoid(x)
  kHardSwish,    // x * clip(x * alpha + beta, 0, 1); 1/6 and 1/2 in ONNX
  kHardSigmoid,  // clip(x * alpha + beta, 0, 1)
  kTanh,
  kGeluErf,    // x/2 * (1 + erf(x / sqrt 2))
  kGeluTanh,   // x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
  kQuickGelu,  // x * sigmoid(1.702 x)
};

// Called once for each finished block of the output, on the thread that computed it and while the block is still in its
// cache. Blocks do not overlap and together cover the output. `c` points at the block's first element; row0 and col0
// tell where that is (rows of a convolution count output pixels of the whole batch in order; columns count output
// channels).
using TileFn = void (*)(void* ctx, float* c, ptrdiff_t ldc, int64_t row0, int64_t rows, int64_t col0, int64_t cols);

// out = activation(sum + bias[column] + residual), or activation(sum + bias[column]) + residual with residual_after.
struct Epilogue {
  const float* bias = nullptr;      // one per column (output channel), or null
  const float* residual = nullptr;  // the output's shape with its own row stride, or null; may be the output itself
  ptrdiff_t ld_residual = 0;        // elements between rows (pixels)
  bool residual_after = false;
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;  // as the activation says
  TileFn post = nullptr;
  void* post_ctx = nullptr;
};

}  // namespace carnot::cpu
