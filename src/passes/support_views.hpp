// SPDX-License-Identifier: Apache-2.0
// Reshapes and transposes as values.
#pragma once
#include <optional>
#include <vector>

#include "passes/pass.hpp"

namespace carnot::passes {

// reshape, flatten, squeeze, unsqueeze: the elements stay in their order.
bool is_reshape(const ir::Node* node);
// The permutation of a transpose, none if the node is none.
std::optional<std::vector<int64_t>> perm_of(const ir::Node* node);

// The constant operand with which reshape takes `from` to `to`: numbers, 0 for a dim that stays in its place, at most one -1.
// None where that cannot say it.
std::optional<std::vector<int64_t>> reshape_operand(const Shape& from, const Shape& to);

// New nodes before `before`; null where reshape_operand has no answer. x itself where nothing is to be done.
ir::Value* add_reshape(ir::Graph& graph, ir::Value* x, const Shape& to, const ir::Location& where, ir::Node* before);
ir::Value* add_transpose(ir::Graph& graph, ir::Value* x, const std::vector<int64_t>& perm, const ir::Location& where, ir::Node* before);

// out axis i = in axis p[i], then out axis i = in axis q[i]: both as one.
std::vector<int64_t> compose(const std::vector<int64_t>& p, const std::vector<int64_t>& q);
std::vector<int64_t> inverse(const std::vector<int64_t>& perm);
bool is_identity(const std::vector<int64_t>& perm);

}  // namespace carnot::passes
