// SPDX-License-Identifier: Apache-2.0
// y = start, start + delta, ... up to but without limit. Source: ONNX Range 11-27.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Range {
  static constexpr OpInfo info{.name = "range", .inputs = {"start", "limit", "delta"}, .onnx = {{"Range", 11}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Range&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
