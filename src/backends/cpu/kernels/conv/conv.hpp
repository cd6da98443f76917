// SPDX-License-Identifier: Apache-2.0
// Convolution and transposed convolution in fp32 over channels-last activations, with 1 to 3 spatial dims, any stride,
// dilation, padding and groups.
//
//   y[n][o...][oc] = activation(bias[oc] + sum over k..., ic of x[n][o * stride + k * dilation - pad][ic] *
//   w[oc][ic][k...] + residual)
//
//   Conv c{.in_channels = 64, .out_channels = 128, .in = {1, 56, 56}, .out = {1, 28, 28}, .kernel = {1, 3, 3}, ...};
//   std::vector<float> w(packed_weights_size(c));
//   pack_weights(c, oihw, w.data());                          // once: depends on channels, groups and kernel only
//   std::vector<char> scratch(conv_workspace(c, pool.threads()));
//   c.x = x; c.w = w.data(); c.y = y;
//   run_conv(c, scratch.data(), pool);
//
// Nothing is allocated by a run, and results do not depend on the number of threads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"
#include "base/dtype.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// The spatial dims are depth, height and width; fewer dims leave the leading ones at their defaults. A pixel is one
// point of all spatial dims; pixels lie in row-major order, `ld` elements apart, each with its channels adjoining, so
// that a tensor can be a slice of the channels of a wider one.
struct Conv {
  int64_t batch = 1, in_channels = 0, out_channels = 0, groups = 1;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1};
  int64_t pad[3] = {0, 0, 0};  // before; what lies behind the input follows from `out` and counts as zeros too
  // x is planar instead, [batch][channels][depth][height][width] without gaps: saves the reordering of an image. Only
  // where conv_reads_planar().
  bool planar_input = false;

  const float* x = nullptr;
  ptrdiff_t ldx = 0;         // elements between input pixels, >= in_channels
  DType w_type = DType::kF32;  // f32; f16 and bf16 where conv_takes_half_weights()
  const void* w = nullptr;     // packed by pack_weights or pack_transpose_weights
  float* y = nullptr;
  ptrdiff_t ldy = 0;  // elements between output pixels, >= out_channels
  Epilogue epilogue;  // rows are output pixels
  // Rows are output pixels: of a band for kBands, of a strip along the width for depthwise ones, which look at nothing else.
  Blocking blocking;
  // kPoints: the rows of A are pixels of the input, wherever they lie. kBands: input rows are copied with their padding first, and a row of
  // the kernel is one long sum; where it is possible. Weights are packed alike. kWinograd2, kWinograd4: F(2x2, 3x3) and F(4x4, 3x3), with
  // weights packed for it, where conv_takes_winograd(); rounded otherwise than the plain sum, the rows of `blocking` are tiles of a task.
  enum class Way : uint8_t { kAuto, kPoints, kBands, kWinograd2, kWinograd4 };
  Way way = Way::kAuto;

  // x, y and the residual in f16 or bf16 instead (the bias stays f32; not for transposed convolutions, nor with planar_input): set
  // `half` and these in place of x, y and epilogue.residual.
  DType half = DType::kInvalid;
  const uint16_t* half_x = nullptr;
  uint16_t* half_y = nullptr;
  const uint16_t* half_residual = nullptr;
};

// Weights as ONNX has them, [out_channels][in_channels / groups][kernel...], in the order that run_conv reads. Sizes in
// floats.
int64_t packed_weights_size(const Conv& conv);
void pack_weights(const Conv& conv, const float* w, float* packed);
bool conv_reads_planar(const Conv& conv);
bool conv_takes_half_weights(const Conv& conv);
bool conv_takes_winograd(const Conv& conv);  // f32 only; looks at `way`, kernel, strides, dilations, groups
size_t conv_workspace(const Conv& conv, int threads);
void run_conv(const Conv& conv, void* workspace, ThreadPool& pool, Isa isa = kernel_isa());

// Transposed: input pixel i adds w[ic][oc][k...] * x[i][ic] to output pixel i * stride + k * dilation - pad. `in`,
// `out` and the channels are those of this operator's own input and output; output padding only enlarges `out`. Weights
// as ONNX has them: [in_channels][out_channels / groups][kernel...].
int64_t packed_transpose_weights_size(const Conv& conv);
void pack_transpose_weights(const Conv& conv, const float* w, float* packed);
size_t conv_transpose_workspace(const Conv& conv, int threads);
void run_conv_transpose(const Conv& conv, void* workspace, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
