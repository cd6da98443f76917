// SPDX-License-Identifier: Apache-2.0
// y = softmax(scale * q @ k^T + mask) @ v per batch and head: attention whose heads may lie anywhere. Made by passes;
// models have `attention` or its primitives.
//
// Every operand has rank 4, and its layout names its axes in their order: b(atch), h(eads), s (positions), d (size of a
// head). Of the axis h, q takes `heads` places from q_first on, k and v take `kv_heads` from k_first and v_first on, so
// one tensor may hold all three; each key head serves heads / kv_heads query heads. A batch of 1 in k and v is shared
// by all. mask broadcasts to [batch, heads, queries, keys]; its first axis of four may also be a divisor of the batch,
// and repeats. Numbers are added to the scores; a bool replaces the score by `fill` where it is false. causal "top":
// query i sees keys up to i; "bottom": the last query sees all keys. A query that sees no key gives NaN, or with
// zero_nan 0 (so does one whose weights are NaN for other reasons).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Sdpa {
  static constexpr OpInfo info{.name = "sdpa", .inputs = {"q", "k", "v", "mask?"}};
  int64_t heads = 1, kv_heads = 1;
  double scale = 1;
  std::string q_layout = "bhsd", k_layout = "bhsd", v_layout = "bhsd", y_layout = "bhsd";
  int64_t q_first = 0, k_first = 0, v_first = 0;
  std::string causal = "none";
  std::optional<double> fill;  // default -inf
  int64_t zero_nan = 0;
  static constexpr auto fields() {
    return std::tuple{required_field("heads", &Sdpa::heads), required_field("kv_heads", &Sdpa::kv_heads),
                      field("scale", &Sdpa::scale),          field("q_layout", &Sdpa::q_layout),
                      field("k_layout", &Sdpa::k_layout),    field("v_layout", &Sdpa::v_layout),
                      field("y_layout", &Sdpa::y_layout),    field("q_first", &Sdpa::q_first),
                      field("k_first", &Sdpa::k_first),      field("v_first", &Sdpa::v_first),
                      field("causal", &Sdpa::causal),        field("fill", &Sdpa::fill),
                      field("zero_nan", &Sdpa::zero_nan)};
  }
  bool operator==(const Sdpa&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
