// SPDX-License-Identifier: Apache-2.0
// Resizing of images in fp32, as ONNX Resize defines it: each output position is a weighted sum of `taps` input positions along each axis.
// The positions and weights of an axis are computed once per shape into the caller's memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/cpu_features.hpp"
#include "base/result.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

struct ResizeRule {
  enum Mode : uint8_t { kNearest, kLinear, kCubic } mode = kNearest;
  enum Coordinates : uint8_t { kHalfPixel, kHalfPixelSymmetric, kPytorchHalfPixel, kAlignCorners, kAsymmetric, kTfHalfPixelForNn } coordinates = kHalfPixel;
  enum Nearest : uint8_t { kRoundPreferFloor, kRoundPreferCeil, kFloor, kCeil } nearest = kRoundPreferFloor;
  float cubic_a = -0.75f;
  bool exclude_outside = false;
  bool antialias = false;
  // From ONNX's words; an error names the one that is not supported (tf_crop_and_resize).
  static Result<ResizeRule> parse(std::string_view mode, std::string_view coordinates, std::string_view nearest);
};

// index[t * out + o], weight[t * out + o]: tap t of output position o.
struct ResizeAxis {
  int64_t in = 1, out = 1;
  int taps = 1;
  const int32_t* index = nullptr;
  const float* weight = nullptr;
};
// Memory that make_resize_axis needs.
size_t resize_axis_bytes(const ResizeRule& rule, int64_t in, int64_t out, double scale);
// `scale` is output size / input size as the model gives it (out / in when sizes are given). `memory` is 4-byte aligned.
ResizeAxis make_resize_axis(const ResizeRule& rule, int64_t in, int64_t out, double scale, void* memory);

struct Resize {
  int64_t batch = 0, channels = 0;
  ResizeAxis rows, cols;         // 1-D: rows made with in = out = 1
  bool channels_last = true;     // [batch, rows, cols, channels] or [batch, channels, rows, cols] (dense)
  const float* in = nullptr;
  float* out = nullptr;
  ptrdiff_t ld_in = 0, ld_out = 0;  // channels last: elements between pixels
};
// At most kMaxResizeTaps taps per pixel (rows times cols), and kMaxResizeWidth input columns with channels first; an error otherwise.
inline constexpr int kMaxResizeTaps = 256;
inline constexpr int64_t kMaxResizeWidth = 8192;
Status run_resize(const Resize& resize, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
