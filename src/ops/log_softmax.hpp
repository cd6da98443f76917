// SPDX-License-Identifier: Apache-2.0
// y = x - max - log(sum of exp(x - max)) along `axis`. Source: ONNX LogSoftmax 13 (one axis; the flattening form of
// opsets 1 to 12 is a reshape around it).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct LogSoftmax {
  static constexpr OpInfo info{.name = "log_softmax", .inputs = {"x"}, .onnx = {{"LogSoftmax", 13}}};
  int64_t axis = -1;
  static constexpr auto fields() { return std::tuple{field("axis", &LogSoftmax::axis)}; }
  bool operator==(const LogSoftmax&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<LogSoftmax> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
