// SPDX-License-Identifier: Apache-2.0
#include "passes/support_views.hpp"

#include <algorithm>

#include "ops/reshape.hpp"
#include "ops/transpose.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {

bool is_reshape(const ir::Node* node) {
  const std::string_view name = node->op.name();
  return name == "reshape" || name == "flatten" || name == "squeeze" || name == "unsqueeze";
}

std::optional<std::vector<int64_t>> perm_of(const ir::Node* node) {
  const auto* transpose = node->as<ops::Transpose>();
  if (!transpose) return std::nullopt;
  auto perm = transpose->perm_for(node->in(0)->rank());
  if (!perm) return std::nullopt;
  return std::move(*perm);
}

std::optional<std::vector<int64_t>> reshape_operand(const Shape& from, const Shape& to) {
  std::vector<int64_t> out;
  bool rest = false;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_constant() && to[i].value() > 0) {
      out.push_back(to[i].value());
    } else if (i < from.size() && from[i] == to[i]) {
      out.push_back(0);
    } else if (!to[i].is_constant() && !rest) {
      out.push_back(-1);
      rest = true;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

ir::Value* add_reshape(ir::Graph& graph, ir::Value* x, const Shape& to, const ir::Location& where, ir::Node* before) {
  if (x->shape() == to) return x;
  const auto operand = reshape_operand(x->shape(), to);
  if (!operand) return nullptr;
  ir::Value* shape = graph.add_constant(Constant::from<int64_t>({static_cast<int64_t>(operand->size())}, *operand), "shape");
  ir::Value* y = try_add(graph, ops::Operator(ops::Reshape{}), {x, shape}, where, before);
  // A -1 may have come out as another way to write the same number.
  if (y) y->facts.shape = to;
  return y;
}

ir::Value* add_transpose(ir::Graph& graph, ir::Value* x, const std::vector<int64_t>& perm, const ir::Location& where, ir::Node* before) {
  if (is_identity(perm)) return x;
  return try_add(graph, ops::Operator(ops::Transpose{perm}), {x}, where, before);
}

std::vector<int64_t> compose(const std::vector<int64_t>& p, const std::vector<int64_t>& q) {
  std::vector<int64_t> out;
  for (int64_t i : q) out.push_back(p[static_cast<size_t>(i)]);
  return out;
}

std::vector<int64_t> inverse(const std::vector<int64_t>& perm) {
  std::vector<int64_t> out(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) out[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return out;
}

bool is_identity(const std::vector<int64_t>& perm) { return std::is_sorted(perm.begin(), perm.end()); }

}  // namespace carnot::passes
