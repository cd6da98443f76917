// SPDX-License-Identifier: Apache-2.0
// y = x, when cond is `value`; an error with `message` otherwise. Stands where a graph is only valid for one outcome of a condition
// that a run decides (an If whose branches give tensors of different ranks).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Expect {
  static constexpr OpInfo info{.name = "expect", .inputs = {"x", "cond"}};
  int64_t value = 1;
  std::string message;
  static constexpr auto fields() { return std::tuple{required_field("value", &Expect::value), field("message", &Expect::message)}; }
  bool operator==(const Expect&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
