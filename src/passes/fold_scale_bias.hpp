// SPDX-License-Identifier: Apache-2.0
// With L linear and s, t constant per output channel:
//   L(x, w, b) * s => L(x, w * s, b * s)        L(x, w, b) / s => L(x, w / s, b / s)
//   L(x, w, b) + t => L(x, w, b + t)            t - L(x, w, b) => L(x, -w, t - b)
// L: conv, conv_transpose, gemm; matmul for scales, and for shifts matmul(x, w) + t => gemm(x, w, t) of matrices. Also
// gemm(alpha, beta, transB) with constant b and c => plain gemm. Only where L's result has no other use.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct FoldScaleBias {
  static constexpr std::string_view name = "fold-scale-bias";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
