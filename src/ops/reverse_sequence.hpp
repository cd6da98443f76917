// SPDX-License-Identifier: Apache-2.0
// y[t, b] = x[len[b]-1-t, b] for t < len[b], else x[t, b].
// Source: ONNX ReverseSequence 10.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ReverseSequence {
  static constexpr OpInfo info{
      .name = "reverse_sequence", .inputs = {"x", "sequence_lens"}, .onnx = {{"ReverseSequence", 10}}};
  int64_t batch_axis = 1;
  int64_t time_axis = 0;
  static constexpr auto fields() {
    return std::tuple{field("batch_axis", &ReverseSequence::batch_axis),
                      field("time_axis", &ReverseSequence::time_axis)};
  }
  bool operator==(const ReverseSequence&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
