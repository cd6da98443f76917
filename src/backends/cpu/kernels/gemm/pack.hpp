// SPDX-License-Identifier: Apache-2.0
// Weights in the order in which the GEMM and convolution kernels read them.
//
// A matrix B of K rows and N columns becomes ceil(N/16) panels, each K rows of 16 floats: packed[n / 16][k][n % 16],
// columns from N on zero. The order is the same for every instruction set, so packed weights can be stored in an engine
// and run anywhere. 64-byte alignment of the packed data is recommended and not needed.
#pragma once
#include <cstdint>

namespace carnot::cpu {

inline constexpr int64_t kPanel = 16;

// Floats of a packed K x N matrix.
constexpr int64_t packed_size(int64_t k, int64_t n) { return (n + kPanel - 1) / kPanel * kPanel * k; }

// B row-major, K x N: b[k * ld + n].
void pack_kn(const float* b, int64_t k, int64_t n, int64_t ld, float* packed);
// B transposed, N x K: b[n * ld + k] (a linear layer's weight [out, in]).
void pack_nk(const float* b, int64_t k, int64_t n, int64_t ld, float* packed);

// Convolution weights [out_channels][in_channels / groups][taps], taps being the product of the kernel dims: one packed
// matrix a group, K = taps * in_channels / groups in the order (tap, channel), N = out_channels / groups.
constexpr int64_t packed_conv_size(int64_t out_channels, int64_t in_channels, int64_t taps, int64_t groups) {
  return groups * packed_size(taps * (in_channels / groups), out_channels / groups);
}
void pack_conv(const float* w, int64_t out_channels, int64_t in_channels, int64_t taps, int64_t groups, float* packed);

// Transposed-convolution weights [in_channels][out_channels / groups][taps], packed like a convolution's: K in the
// order (tap, channel of the input), N = out_channels / groups. The size is packed_conv_size.
void pack_conv_transpose(const float* w, int64_t out_channels, int64_t in_channels, int64_t taps, int64_t groups,
                         float* packed);

// Depthwise weights [channels * multiplier][1][taps] as packed[tap][channel * multiplier + m], rows padded with zeros
// to a multiple of 16.
constexpr int64_t packed_depthwise_size(int64_t out_channels, int64_t taps) { return packed_size(taps, out_channels); }
void pack_depthwise(const float* w, int64_t out_channels, int64_t taps, float* packed);

}  // namespace carnot::cpu
