// SPDX-License-Identifier: Apache-2.0
// A node none of whose results is used or returned goes, and so do constants without use. Run by the manager after every change.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct RemoveDead {
  static constexpr std::string_view name = "remove-dead";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
