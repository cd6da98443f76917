// SPDX-License-Identifier: Apache-2.0
// Any chain of reshapes and transposes => at most reshape, transpose, reshape. The axes are cut into atoms (common factors of
// all shapes of the chain); what the chain does is one permutation of atoms between the first shape and the last, and atoms that stay
// neighbours move as one. A transpose that only moves dims of size 1 becomes a reshape, opposite ones cancel. And
//   pointwise(view(x)) => view(pointwise(x))     where only views follow, so that the chain can grow together.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct SimplifyViews {
  static constexpr std::string_view name = "simplify-views";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
