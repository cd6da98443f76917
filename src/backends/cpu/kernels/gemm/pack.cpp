// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/pack.hpp"

#include <xmmintrin.h>

#include <algorithm>
#include <cstring>

namespace carnot::cpu {

void pack_kn(const float* b, int64_t k, int64_t n, int64_t ld, float* packed) {
  for (int64_t n0 = 0; n0 < n; n0 += kPanel) {
    const int64_t columns = std::min(kPanel, n - n0);
    for (int64_t i = 0; i < k; ++i, packed += kPanel) {
      const float* row = b + i * ld + n0;
      if (columns == kPanel) {
        std::memcpy(packed, row, kPanel * sizeof(float));
      } else {
        for (int64_t j = 0; j < kPanel; ++j) packed[j] = j < columns ? row[j] : 0.f;
      }
    }
  }
}

namespace {

// The panels of a matrix whose element (outer, inner; n), k = outer * inners + inner, lies at
// b[outer * outer_stride + inner * inner_stride + n * n_stride].
void pack_strided(const float* b, int64_t outers, int64_t outer_stride, int64_t inners, int64_t inner_stride, int64_t n,
                  int64_t n_stride, float* packed) {
  for (int64_t n0 = 0; n0 < n; n0 += kPanel) {
    const int64_t columns = std::min(kPanel, n - n0);
    if (columns < kPanel) std::fill(packed, packed + outers * inners * kPanel, 0.f);
    for (int64_t o = 0; o < outers; ++o) {
      // Blocks of k, so that the 16 source columns and the destination stay in the first-level cache together.
      constexpr int64_t kBlock = 128;
      for (int64_t i0 = 0; i0 < inners; i0 += kBlock) {
        const int64_t i1 = std::min(inners, i0 + kBlock);
        for (int64_t j = 0; j < columns; ++j) {
          const float* source = b + o * outer_stride + (n0 + j) * n_stride;
          float* to = packed + o * inners * kPanel + j;
          for (int64_t i = i0; i < i1; ++i) to[i * kPanel] = source[i * inner_stride];
        }
      }
    }
    packed += outers * inners * kPanel;
  }
}

}  // namespace

// Runs at inference time too (the keys of attention), hence the 4 x 4 transposes.
void pack_nk(const float* b, int64_t k, int64_t n, int64_t ld, float* packed) {
  const int64_t full = n / kPanel;
  for (int64_t panel = 0; panel < full; ++panel) {
    const float* from = b + panel * kPanel * ld;
    float* to = packed + panel * kPanel * k;
    int64_t i = 0;
    for (; i + 4 <= k; i += 4) {
      for (int64_t j = 0; j < kPanel; j += 4) {
        const float* p = from + j * ld + i;
        __m128 r0 = _mm_loadu_ps(p), r1 = _mm_loadu_ps(p + ld);
        __m128 r2 = _mm_loadu_ps(p + 2 * ld), r3 = _mm_loadu_ps(p + 3 * ld);
        _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
        float* q = to + i * kPanel + j;
        _mm_storeu_ps(q, r0);
        _mm_storeu_ps(q + kPanel, r1);
        _mm_storeu_ps(q + 2 * kPanel, r2);
        _mm_storeu_ps(q + 3 * kPanel, r3);
      }
    }
    for (; i < k; ++i)
      for (int64_t j = 0; j < kPanel; ++j) to[i * kPanel + j] = from[j * ld + i];
  }
  const int64_t done = full * kPanel;
  pack_strided(b + done * ld, 1, 0, k, 1, n - done, ld, packed + done * k);
}

void pack_conv(const float* w, int64_t out_channels, int64_t in_channels, int64_t taps, int64_t groups, float* packed) {
  const int64_t ic = in_channels / groups, oc = out_channels / groups;
  for (int64_t g = 0; g < groups; ++g)
    pack_strided(w + g * oc * ic * taps, taps, 1, ic, taps, oc, ic * taps, packed + g * packed_size(taps * ic, oc));
}

void pack_conv_transpose(const float* w, int64_t out_channels, int64_t in_channels, int64_t taps, int64_t groups,
                         float* packed) {
  const int64_t ic = in_channels / groups, oc = out_channels / groups;
  for (int64_t g = 0; g < groups; ++g)
    pack_strided(w + g * ic * oc * taps, taps, 1, ic, oc * taps, oc, taps, packed + g * packed_size(taps * ic, oc));
}

void pack_depthwise(const float* w, int64_t out_channels, int64_t taps, float* packed) {
  const int64_t row = packed_size(1, out_channels);
  std::fill(packed, packed + taps * row, 0.f);
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t c = 0; c < out_channels; ++c) packed[t * row + c] = w[c * taps + t];
}

}  // namespace carnot::cpu
