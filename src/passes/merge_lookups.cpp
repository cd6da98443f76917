// SPDX-License-Identifier: Apache-2.0
#include "passes/merge_lookups.hpp"

#include <cstring>

#include "ops/concat.hpp"
#include "ops/gather.hpp"
#include "ops/pointwise.hpp"
#include "ops/where.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

struct Lookup {
  const Constant* table = nullptr;  // [rows, size]
  ir::Value* indices = nullptr;     // [batch, columns]
  int64_t column = 0;
  ir::Node* node = nullptr;
};

// v = reshape(gather(table, gather(axis=1)(indices, column))) of shape [batch, 1, size].
std::optional<Lookup> read(ir::Value* v) {
  if (!single_use(v) || v->rank() != 3 || !v->shape()[1].is(1) || !v->producer || !is_reshape(v->producer)) return std::nullopt;
  ir::Value* row = v->producer->in(0);
  if (!row->producer || !single_use(row) || row->rank() != 2) return std::nullopt;
  const auto* outer = row->producer->as<ops::Gather>();
  if (!outer || outer->axis != 0 || !row->producer->in(0)->constant || row->producer->in(0)->rank() != 2) return std::nullopt;
  const ir::Node* select = row->producer->in(1)->producer;
  const auto* inner = select ? select->as<ops::Gather>() : nullptr;
  if (!inner || inner->axis != 1 || select->in(0)->rank() != 2 || select->in(0)->dtype() != DType::kI64 || row->producer->in(1)->rank() != 1) return std::nullopt;
  const auto column = scalar_of(select->in(1));
  if (!column || *column < 0) return std::nullopt;
  return Lookup{&*row->producer->in(0)->constant, select->in(0), static_cast<int64_t>(*column), row->producer};
}

ir::Value* numbers(ir::Graph& g, const std::vector<int64_t>& values, std::string_view name) {
  Constant c = Constant::allocate(DType::kI64, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), static_cast<int64_t*>(c.mutable_data()));
  return g.add_constant(std::move(c), std::string(name));
}

// One look-up in the place of those in `run`.
ir::Value* joined(ir::Graph& g, const std::vector<Lookup>& run, ir::Node* before) {
  std::vector<int64_t> columns, last, rows, first;
  std::vector<ir::Node*> nodes;
  int64_t total = 0;
  for (const Lookup& l : run) {
    columns.push_back(l.column);
    rows.push_back(l.table->dims[0]);
    last.push_back(l.table->dims[0] - 1);
    first.push_back(total);
    total += l.table->dims[0];
    nodes.push_back(l.node);
  }
  const ir::Location where = join(nodes);
  const auto add = [&](ops::Operator op, std::vector<ir::Value*> in) -> ir::Value* {
    for (ir::Value* v : in)
      if (!v) return nullptr;
    return try_add(g, std::move(op), std::move(in), where, before);
  };
  Constant all = Constant::allocate(run[0].table->dtype, {total, run[0].table->dims[1]});
  auto* to = static_cast<std::byte*>(all.mutable_data());
  for (const Lookup& l : run) {
    const size_t bytes = static_cast<size_t>(l.table->size()) * dtype_size(l.table->dtype);
    std::memcpy(to, l.table->data, bytes);
    to += bytes;
  }
  ir::Value* indices = run[0].indices;
  bool in_order = indices->shape()[1].is(static_cast<int64_t>(run.size()));
  for (size_t i = 0; i < columns.size(); ++i) in_order = in_order && columns[i] == static_cast<int64_t>(i);
  if (!in_order) indices = add(ops::Operator(ops::Gather{1}), {indices, numbers(g, columns, "columns")});
  ir::Value* zero = numbers(g, {0}, "zero");
  ir::Value* negative = add(ops::Operator(ops::Less{}), {indices, zero});
  ir::Value* place = add(ops::Operator(ops::Where{}), {negative, add(ops::Operator(ops::Add{}), {indices, numbers(g, rows, "rows")}), indices});
  place = add(ops::Operator(ops::Max{}), {place, zero});
  place = add(ops::Operator(ops::Min{}), {place, numbers(g, last, "last")});
  place = add(ops::Operator(ops::Add{}), {place, numbers(g, first, "first")});
  return add(ops::Operator(ops::Gather{0}), {g.add_constant(std::move(all), "tables"), place});
}

bool merge(ir::Graph& g, ir::Node* node) {
  if (node->as<ops::Concat>()->axis != 1) return false;
  bool changed = false;
  std::vector<ir::Value*> inputs;
  const std::vector<ir::Value*> old = node->inputs;
  for (size_t i = 0; i < old.size();) {
    std::vector<Lookup> run;
    for (size_t j = i; j < old.size(); ++j) {
      const auto l = read(old[j]);
      if (!l || (!run.empty() && (l->indices != run[0].indices || l->table->dims[1] != run[0].table->dims[1] || l->table->dtype != run[0].table->dtype))) break;
      run.push_back(*l);
    }
    ir::Value* one = run.size() > 1 ? joined(g, run, node) : nullptr;
    inputs.push_back(one ? one : old[i]);
    changed = changed || one;
    i += one ? run.size() : 1;
  }
  if (!changed) return false;
  ir::Value* y = inputs.size() == 1 ? inputs[0] : try_add(g, node->op, inputs, node->where, node);
  if (!y || !can_replace(node->out(), y)) return false;
  const std::string name = node->out()->name;
  g.replace_uses(node->out(), y);
  erase_dead(g, node);
  g.rename(y, name);
  return true;
}

}  // namespace

Result<bool> MergeLookups::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (ir::Node* node : g.node_list())
      if (node->op.name() == "concat") changed |= merge(g, node);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(merge_lookups, MergeLookups)

}  // namespace carnot::passes
