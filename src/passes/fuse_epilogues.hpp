// SPDX-License-Identifier: Apache-2.0
// anchor -> + bias -> + residual -> activation   or   anchor -> + bias -> activation -> + residual   => one group of kind "conv" (anchor conv,
// conv_transpose) or "matmul" (anchor matmul, gemm). Every step is optional; values between the steps have no other use. A bias is a
// vector over the last axis of a matmul's result (a convolution's is its operand already); a residual has exactly the result's
// shape. What goes beyond this form is left to fuse-pointwise: it is the form that kernels can do before they store.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct FuseEpilogues {
  static constexpr std::string_view name = "fuse-epilogues";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
