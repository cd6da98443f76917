// SPDX-License-Identifier: Apache-2.0
// Connected element-wise nodes over one iteration space (equal result shapes; operands may broadcast) => one group of kind
// "pointwise", which reads and writes every element once. As large as dependences and the limits of the tile interpreter allow.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct FusePointwise {
  static constexpr std::string_view name = "fuse-pointwise";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
