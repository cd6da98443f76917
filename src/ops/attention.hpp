// SPDX-License-Identifier: Apache-2.0
// y = softmax(softcap(scale * q @ k^T) + mask) @ v per head. q, k, v are [batch, heads, length, size] or [batch,
// length, heads * size]; each key head serves q_heads / kv_heads query heads. past_key and past_value go before k and
// v; present_key and present_value are both together. mask is added, or (bool) keeps where true; it broadcasts, and
// what its last axis lacks is masked out. is_causal masks keys behind the query's own position (counted from the end of
// the past); nonpad_kv_seqlen[batch] masks keys from there on. softcap(s) = softcap * tanh(s / softcap). `qk`: scores 0
// raw, 1 after softcap, 2 after the mask, 3 after softmax. Source: ONNX Attention 23, 24.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Attention {
  static constexpr OpInfo info{.name = "attention",
                               .inputs = {"q", "k", "v", "mask?", "past_key?", "past_value?", "nonpad_kv_seqlen?"},
                               .outputs = {"y", "present_key?", "present_value?", "qk?"},
                               .onnx = {{"Attention", 23}}};
  int64_t is_causal = 0;
  std::optional<int64_t> q_num_heads, kv_num_heads;  // with operands of rank 3
  std::optional<double> scale;                       // default 1 / sqrt(size)
  double softcap = 0;
  int64_t qk_matmul_output_mode = 0;
  int64_t softmax_precision = 0;  // ours is at least that
  static constexpr auto fields() {
    return std::tuple{field("is_causal", &Attention::is_causal),
                      field("q_num_heads", &Attention::q_num_heads),
                      field("kv_num_heads", &Attention::kv_num_heads),
                      field("scale", &Attention::scale),
                      field("softcap", &Attention::softcap),
                      field("qk_matmul_output_mode", &Attention::qk_matmul_output_mode),
                      field("softmax_precision", &Attention::softmax_precision)};
  }
  bool operator==(const Attention&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
