// SPDX-License-Identifier: Apache-2.0
// carried..., stacked... = for (i = 0; i < trip_count && cond; ++i) cond, carried..., results... = body(i, cond,
// carried..., captures...) Operands: trip_count and cond, both optional, the carried values, then every outer value
// that the body uses. Results: the carried values after the last run, then each further result of the body stacked
// along a new first axis. Without cond and with a trip count the condition that the body returns is ignored. Source:
// ONNX Loop 1-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Loop {
  static constexpr OpInfo info{
      .name = "loop", .inputs = {"trip_count?", "cond?", "values*"}, .outputs = {"y*"}, .bodies = 1};
  int64_t num_carried = 0;
  static constexpr auto fields() { return std::tuple{required_field("num_carried", &Loop::num_carried)}; }
  bool operator==(const Loop&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
