// SPDX-License-Identifier: Apache-2.0
// Turns pairs of elements of each head by an angle that depends on the position:
// (a, b) -> (a cos - b sin, a sin + b cos). x is [batch, heads, positions, size] or [batch, positions, heads * size];
// the caches hold [positions, size / 2] for position_ids [batch, positions], or [batch, positions, size / 2] without.
// Source: ONNX RotaryEmbedding 23.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct RotaryEmbedding {
  static constexpr OpInfo info{.name = "rotary_embedding",
                               .inputs = {"x", "cos_cache", "sin_cache", "position_ids?"},
                               .onnx = {{"RotaryEmbedding", 23}}};
  int64_t interleaved = 0;           // pairs are neighbours; 0: element i and i + size / 2
  int64_t num_heads = 0;             // needed when x has rank 3
  int64_t rotary_embedding_dim = 0;  // elements of a head that turn; 0: all
  static constexpr auto fields() {
    return std::tuple{field("interleaved", &RotaryEmbedding::interleaved),
                      field("num_heads", &RotaryEmbedding::num_heads),
                      field("rotary_embedding_dim", &RotaryEmbedding::rotary_embedding_dim)};
  }
  bool operator==(const RotaryEmbedding&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
