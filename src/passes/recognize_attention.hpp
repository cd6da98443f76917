// SPDX-License-Identifier: Apache-2.0
// Attention in primitives (f32):
//   matmul(softmax(scale * matmul(q, k^T) + mask), v) => sdpa(q, k, v, mask)
// The scale may be a product or quotient with a number, of the scores or of q and k; the mask may be added (also twice,
// and to a reshape of the scores that splits the batch) or chosen with where(mask, scores, number); the weights may
// pass where(isnan(w), 0, w). Views before q, k and v (head splits, transposes, one tensor cut in three, key heads
// repeated) and behind the result become layouts. A constant mask that hides the future becomes causal. The scores must
// have no other use.
//   attention(q, k, v, mask, past_key, past_value) => sdpa, the past concatenated; without softcap, scores asked for or
//   lengths
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct RecognizeAttention {
  static constexpr std::string_view name = "recognize-attention";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
