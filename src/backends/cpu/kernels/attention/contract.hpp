// SPDX-License-Identifier: Apache-2.0
// The vector code of attention beside its matrix products. Internal to kernels/attention.
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot::cpu {

// The softmax of a row that comes in pieces.
struct RunningSoftmax {
  float top;  // the largest score so far, -inf before the first
  float sum;  // of exp(score - top) so far
};

struct AttentionTable {
  // Scores of one row's next n keys become weights exp(t - top), t = scale * score + mask (null: none). What was summed
  // up with the weights before has to be multiplied by the number returned.
  float (*weights)(float* scores, const float* mask, float scale, int64_t n, RunningSoftmax* running);
  // y *= factor over n elements.
  void (*multiply)(float* y, float factor, int64_t n);
  // out[j] = sum over i < size of q[i] * k[j * stride + i], for j < n.
  void (*dots)(const float* q, const float* k, int64_t stride, int64_t size, float* out, int64_t n);
  // y[i] = sum over j < n of weights[j] * v[j * stride + i], for i < size.
  void (*weighted_sum)(const float* weights, const float* v, int64_t stride, int64_t n, float* y, int64_t size);
  // mask[j] = keep[j * stride] ? 0 : fill, and scores[j] = 0 where not kept, for j < n.
  void (*apply_bool)(const uint8_t* keep, int64_t stride, float fill, float* scores, float* mask, int64_t n);
};
const AttentionTable& attention_table(Isa isa);

}  // namespace carnot::cpu
