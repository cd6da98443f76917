// SPDX-License-Identifier: Apache-2.0
// Attention whose q, k and v are products of one tensor with weights of their own:
//   sdpa(x @ wq + bq, x @ wk + bk, x @ wv + bv) => sdpa(t, t, t) with t = x @ [wq wk wv] + [bq bk bv], heads side by side
// One product in the place of three, and its kernels see enough work to fill a GPU. Needs constant weights, heads of one size lying beside
// each other (layout bshd), and products without other uses.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct MergeProjections {
  static constexpr std::string_view name = "merge-projections";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
