// SPDX-License-Identifier: Apache-2.0
// Common subexpressions: of two pure nodes with equal operators and operands the later one goes; likewise small constants with
// equal bytes. Run by the manager after every change.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct MergeEqual {
  static constexpr std::string_view name = "merge-equal";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
