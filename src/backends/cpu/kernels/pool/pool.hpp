// SPDX-License-Identifier: Apache-2.0
// Max and average pooling of channels-last fp32 tensors over one to three spatial axes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/cpu_features.hpp"
#include "base/result.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

enum class PoolKind : uint8_t { kMax, kAverage };

// y[n, o, c] = max or mean over the window of x. Spatial axes are given outermost first; unused ones are 1 (kernel, stride, size) and 0
// (pad). Padding is never the maximum; a window that lies in padding alone gives -inf (max) or 0 (average).
struct Pool {
  PoolKind kind = PoolKind::kMax;
  int64_t batch = 0, channels = 0;
  int64_t in_size[3] = {1, 1, 1}, out_size[3] = {1, 1, 1};
  int64_t kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1};
  int64_t pad[3] = {0, 0, 0}, pad_end[3] = {0, 0, 0};
  bool count_include_pad = false;  // the mean counts padding, though not what lies beyond pad_end
  const float* in = nullptr;
  ptrdiff_t ld_in = 0;  // elements between pixels, at least `channels`
  float* out = nullptr;
  ptrdiff_t ld_out = 0;
};
// An error if a size is negative, or a stride, kernel or dilation is not positive.
Status run_pool(const Pool& pool, ThreadPool& threads, Isa isa = kernel_isa());

// out[n, c] = mean or maximum over all pixels.
struct GlobalPool {
  PoolKind kind = PoolKind::kAverage;
  int64_t batch = 0, pixels = 0, channels = 0;
  const float* in = nullptr;
  ptrdiff_t ld_in = 0;  // elements between pixels
  float* out = nullptr;
  ptrdiff_t ld_out = 0;  // elements between images
};
void run_global_pool(const GlobalPool& pool, ThreadPool& threads, Isa isa = kernel_isa());

}  // namespace carnot::cpu
