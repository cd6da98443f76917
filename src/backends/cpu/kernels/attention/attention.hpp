// SPDX-License-Identifier: Apache-2.0
// y = softmax(scale * q @ k^T + mask) @ v for each batch and head, in fp32, without the whole matrix of scores: blocks
// of queries meet blocks of keys, and the softmax runs along (a row's weights so far are multiplied when a larger score
// comes). Few queries, as in decoding, read keys and values where they lie; otherwise both are packed once for each
// head.
//
// Results do not depend on the number of threads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// Sizes may be 0. Element (b, h, s, d) of q lies at q[b * batch + h * head + s * row + d * col], likewise for k, v and
// y. `heads` is a multiple of kv_heads: each key head serves heads / kv_heads query heads. The columns of y adjoin.
struct Attention {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, size = 0, v_size = 0;
  struct Strides {
    ptrdiff_t batch = 0, head = 0, row = 0, col = 1;
  };
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  float* y = nullptr;
  Strides q_strides, k_strides, v_strides, y_strides;
  float scale = 1;
  // One of two forms or none: numbers that are added to the scores, or bytes of which a 0 replaces the score by `fill`.
  // Strides of 0 broadcast; batch b reads the mask of batch b % mask_batches.
  const float* mask = nullptr;
  const uint8_t* keep = nullptr;
  float fill = -__builtin_inff();
  int64_t mask_batches = 1;
  Strides mask_strides;
  // Query i sees the keys up to i + offset.
  bool causal = false;
  int64_t offset = 0;
  // Queries and keys of a block; 0 leaves it to the kernel. Any value is safe; other blocks of keys round otherwise.
  int64_t query_block = 0, key_block = 0;
  bool zero_nan = false;  // rows whose weights are NaN (no key is seen, say) become 0
};

// Bytes of scratch that run_attention needs with this many threads; 64-byte alignment is recommended.
size_t attention_workspace(const Attention& attention, int threads);
void run_attention(const Attention& attention, void* workspace, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
