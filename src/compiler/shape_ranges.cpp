// SPDX-License-Identifier: Apache-2.0
#include "compiler/shape_ranges.hpp"

#include <algorithm>

namespace carnot::compiler {
namespace {

struct Bound {
  int64_t min = 0, opt = -1, max = -1;  // as in engine::InputRange
  friend bool operator==(const Bound&, const Bound&) = default;
  std::string str() const { return min == max ? std::to_string(min) : fmt::format("{}..{}..{}", min, opt, max); }
};

Bound bound_of(const ShapeRange& range, size_t axis) { return {range.min[axis], range.opt[axis], range.max[axis]}; }

Result<const ir::Value*> find_input(const ir::Graph& graph, const std::string& name) {
  std::string list;
  for (const ir::Value* v : graph.inputs()) {
    if (v->name == name) return v;
    list += (list.empty() ? "'" : ", '") + v->name + "'";
  }
  return invalid("--shape names input '{}', but the model's inputs are {}", name, list);
}

Status check_range(const std::string& name, const ShapeRange& range, const Shape& shape) {
  if (range.min.size() != shape.size() || range.opt.size() != shape.size() || range.max.size() != shape.size())
    return invalid("--shape {}: the input has shape {} (rank {}), the range has rank {}", name, to_string(shape), shape.size(), range.min.size());
  for (size_t a = 0; a < shape.size(); ++a) {
    const Bound b = bound_of(range, a);
    if (b.min < 0 || b.min > b.opt || b.opt > b.max)
      return invalid("--shape {}: dimension {} needs 0 <= min <= opt <= max, got {}..{}..{}", name, a, b.min, b.opt, b.max);
    if (shape[a].is_constant() && (b.min != shape[a].value() || b.max != shape[a].value()))
      return invalid("--shape {}: dimension {} of the model is {}, the range is {}..{}", name, a, shape[a].value(), b.min, b.max);
  }
  return {};
}

}  // namespace

Result<std::map<std::string, engine::InputRange>> apply_shapes(ir::Graph& graph, const std::map<std::string, ShapeRange>& shapes) {
  std::map<std::string, Bound> bounds;
  for (const auto& [name, range] : shapes) {
    CARNOT_ASSIGN(const ir::Value* const input, find_input(graph, name));
    CARNOT_RETURN_IF_ERROR(check_range(name, range, input->shape()));
    for (size_t a = 0; a < input->rank(); ++a) {
      const auto symbol = input->shape()[a].as_symbol();
      if (!symbol) continue;
      const auto [entry, first] = bounds.try_emplace(*symbol, bound_of(range, a));
      if (!first && !(entry->second == bound_of(range, a)))
        return invalid("--shape {}: dimension '{}' is given two sizes, {} and {}", name, *symbol, entry->second.str(), bound_of(range, a).str());
    }
  }
  std::map<std::string, Dim, std::less<>> fixed;
  for (const auto& [symbol, b] : bounds)
    if (b.min == b.max) fixed.emplace(symbol, b.min);
  if (!fixed.empty()) {
    for (ir::Value* v : graph.inputs())
      for (Dim& d : v->facts.shape) d = d.substitute(fixed);
    CARNOT_RETURN_IF_ERROR(graph.infer_all());
  }
  std::map<std::string, engine::InputRange> out;
  for (const ir::Value* v : graph.inputs()) {
    engine::InputRange range;
    bool bounded = false;
    const auto given = shapes.find(v->name);
    for (size_t a = 0; a < v->rank(); ++a) {
      const Dim& d = v->shape()[a];
      Bound b;
      const auto symbol = d.as_symbol();
      if (d.is_constant())
        b = {d.value(), d.value(), d.value()};
      else if (const auto it = symbol ? bounds.find(*symbol) : bounds.end(); it != bounds.end())
        b = it->second;
      else if (given != shapes.end())  // an expression such as 2*n
        b = bound_of(given->second, a);
      bounded = bounded || (!d.is_constant() && b.max >= 0);
      range.min.push_back(b.min);
      range.opt.push_back(b.opt);
      range.max.push_back(b.max);
    }
    if (bounded) out.emplace(v->name, std::move(range));
  }
  return out;
}

}  // namespace carnot::compiler
