// SPDX-License-Identifier: Apache-2.0
// Element-wise work and the moves around it in one region: slice, concat, transpose, gather of one row, split and reshape only say which
// element is read, so nothing is moved on the way:
//   x * cos + concat(-x[.., h:], x[.., :h]) * sin => group "indexed"      (rotary embedding)
//   cast(concat(cache[0], transpose(k)))          => group "indexed"      (a cache of keys)
// For devices whose launches cost more than the arithmetic that finds an index.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct FuseIndexed {
  static constexpr std::string_view name = "fuse-indexed";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
