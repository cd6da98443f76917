// SPDX-License-Identifier: Apache-2.0
// Look-ups in many tables with columns of one tensor of indices, joined:
//   concat(axis=1)(..., t0[idx[:, 0]], t1[idx[:, 1]], ...) => concat(..., [t0; t1; ...][idx + first rows])
// Each look-up is a launch of some microseconds for some kilobytes. Indices from the end, and those beyond a table, keep their meaning on a
// GPU, where the latter give the nearest row.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct MergeLookups {
  static constexpr std::string_view name = "merge-lookups";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
