// SPDX-License-Identifier: Apache-2.0
// y[:, n] = the index of the n-th element of x that is not zero, in row-major order; i64[rank, count]. Source: ONNX NonZero 9, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct NonZero {
  static constexpr OpInfo info{.name = "nonzero", .inputs = {"x"}, .onnx = {{"NonZero"}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const NonZero&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
