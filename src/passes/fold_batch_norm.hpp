// SPDX-License-Identifier: Apache-2.0
// batch_normalization(x, scale, bias, mean, var) => x * s + t   with s = scale / sqrt(var + epsilon), t = bias - mean * s, all constant.
// fold-scale-bias then takes s and t into a convolution before it; what is left is plain pointwise work.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct FoldBatchNorm {
  static constexpr std::string_view name = "fold-batch-norm";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
