// SPDX-License-Identifier: Apache-2.0
// conv, max_pool, average_pool with auto_pad => pads that are written out, where the sizes (or strides of 1) tell them now:
//   SAME: total = max((ceil(in / stride) - 1) * stride + (kernel - 1) * dilation + 1 - in, 0), the odd one behind (UPPER) or before
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct ExplicitPads {
  static constexpr std::string_view name = "explicit-pads";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
