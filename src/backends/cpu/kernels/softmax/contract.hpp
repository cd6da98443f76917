// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot::cpu {

struct SoftmaxTable {
  // One row; mask may be null.
  void (*row)(const float* in, const float* mask, float scale, float* out, int64_t cols, bool log);
  // `width` <= kSoftmaxColumns adjoining columns of `axis` rows each, `stride` elements apart.
  void (*columns)(const float* in, float* out, int64_t axis, int64_t stride, int64_t width, bool log);
};
inline constexpr int64_t kSoftmaxColumns = 64;
const SoftmaxTable& softmax_table(Isa isa);

}  // namespace carnot::cpu
