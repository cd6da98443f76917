// SPDX-License-Identifier: Apache-2.0
// y[i] = x[0] + ... + x[i] along an axis; cumprod: the same with products.
// Source: ONNX CumSum 11, 14, CumProd 26.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct CumSum {
  static constexpr OpInfo info{.name = "cumsum", .inputs = {"x", "axis"}, .onnx = {{"CumSum", 11}}};
  int64_t exclusive = 0;  // y[i] leaves out x[i]
  int64_t reverse = 0;    // from the end
  static constexpr auto fields() {
    return std::tuple{field("exclusive", &CumSum::exclusive), field("reverse", &CumSum::reverse)};
  }
  bool operator==(const CumSum&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

struct CumProd {
  static constexpr OpInfo info{.name = "cumprod", .inputs = {"x", "axis"}, .onnx = {{"CumProd", 26}}};
  int64_t exclusive = 0;  // y[i] leaves out x[i]
  int64_t reverse = 0;    // from the end
  static constexpr auto fields() {
    return std::tuple{field("exclusive", &CumProd::exclusive), field("reverse", &CumProd::reverse)};
  }
  bool operator==(const CumProd&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
