// SPDX-License-Identifier: Apache-2.0
// y = alpha * a' @ b' + beta * c with a' = transA ? a^T : a (matrices), c broadcast to the result. Source: ONNX Gemm 7,
// 9, 11, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Gemm {
  static constexpr OpInfo info{.name = "gemm", .inputs = {"a", "b", "c?"}, .onnx = {{"Gemm", 7}}};
  double alpha = 1, beta = 1;
  int64_t trans_a = 0, trans_b = 0;
  static constexpr auto fields() {
    return std::tuple{field("alpha", &Gemm::alpha), field("beta", &Gemm::beta), field("transA", &Gemm::trans_a),
                      field("transB", &Gemm::trans_b)};
  }
  bool operator==(const Gemm&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
