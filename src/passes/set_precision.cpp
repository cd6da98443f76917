// SPDX-License-Identifier: Apache-2.0
#include "passes/set_precision.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "ops/cast.hpp"
#include "passes/support_precision.hpp"

namespace carnot::passes {
namespace {

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), name) != names.end(); }

// The types that the pass exchanges for each other; f64 stays what it is.
bool exchangeable(DType t) { return t == DType::kF32 || t == DType::kF16 || t == DType::kBF16; }

std::string_view user_name(DType t) { return t == DType::kF16 ? "fp16" : t == DType::kBF16 ? "bf16" : "fp32"; }

enum class Kind {
  kCompute,    // runs by the network's type
  kPointwise,  // element-wise: narrow when an operand is
  kFollow,     // moves elements, or pools them: narrow when all operands are
  kBounded,    // computes in f32 inside and gives numbers of ordinary size: narrow when its first operand is
  kKeep,       // keeps the model's type
};

bool is_norm(std::string_view name) { return one_of(name, {"layer_normalization", "rms_normalization", "group_normalization", "instance_normalization"}); }

Kind kind_of(const ir::Node& node, bool wide_inside) {
  const std::string_view name = node.op.name();
  if (wide_inside && name == "sdpa") return Kind::kCompute;
  if (wide_inside && node.outputs.size() == 1 && (is_norm(name) || name == "softmax" || name == "reduce_mean" || name == "reduce_max")) return Kind::kBounded;
  if (one_of(name, {"conv", "conv_transpose", "matmul", "gemm"})) return Kind::kCompute;
  if (name == "cast") return Kind::kKeep;
  if (node.op.info().pointwise) {
    // Powers, and squares above 256, leave the range of fp16; the others lose most of their digits near their poles.
    if (one_of(name, {"exp", "log", "pow", "sqrt", "reciprocal", "tan", "sinh", "cosh", "asin", "acos", "asinh", "acosh", "atanh", "softplus", "mod"})) return Kind::kKeep;
    if (name == "mul" && node.in(0) == node.in(1)) return Kind::kKeep;
    if (!is_float(node.out()->dtype())) return Kind::kKeep;  // comparisons
    return Kind::kPointwise;
  }
  if (node.op.info().view || one_of(name, {"transpose", "concat", "split", "slice", "gather", "pad", "expand", "tile", "identity", "depth_to_space", "space_to_depth", "max_pool",
                                           "global_max_pool", "average_pool", "global_average_pool", "resize"}))
    return Kind::kFollow;
  return Kind::kKeep;
}

// Whether operand i has the type of the operator's results, rather than a type of its own.
bool has_result_type(const ir::Node& node, size_t i) {
  const std::string_view name = node.op.name();
  if (name == "sdpa") return i < 3;
  return i == 0 || (name != "resize" && !is_norm(name));
}

// Whether operand i is what the operator works on, and not a table or a filler.
bool is_data(const ir::Node& node, size_t i) { return !one_of(node.op.name(), {"gather", "pad", "expand", "slice", "resize", "tile"}) || i == 0; }

// Whether the type keeps what the constant says: no finite number becomes infinite, and a lone number neither becomes 0 nor keeps fewer
// digits than the type has (an epsilon).
bool holds(const Constant& c, DType type) {
  if (c.dtype != DType::kF32 || (type != DType::kF16 && type != DType::kBF16)) return true;
  const float* p = c.as<float>();
  // The least numbers that round to infinity.
  const float limit = type == DType::kF16 ? 65520.f : 3.3961775e38f;
  int64_t outside = 0;
  for (int64_t i = 0; i < c.size(); ++i) outside += std::abs(p[i]) >= limit && std::abs(p[i]) <= std::numeric_limits<float>::max();
  if (outside > 0) return false;
  if (c.size() != 1 || !std::isfinite(p[0])) return true;
  const float y = type == DType::kF16 ? float(float16(p[0])) : float(bfloat16(p[0]));
  return std::abs(p[0] - y) <= std::abs(p[0]) * (type == DType::kF16 ? 1.f / 1024 : 1.f / 128);
}

class Typing {
 public:
  Typing(ir::Graph& graph, const PrecisionSettings& settings, PrecisionReport& report) : graph_(graph), settings_(settings), report_(report) {}

  Result<bool> run() {
    for (ir::Node* node : graph_.node_list()) CARNOT_RETURN_IF_ERROR(visit(node));
    std::vector<ir::Value*> outputs = graph_.outputs();
    for (ir::Value*& v : outputs)
      if (const DType type = model_type(v); type != v->dtype()) v = as(v, type, nullptr);
    if (outputs != graph_.outputs()) graph_.mutable_outputs() = std::move(outputs);
    return changed_;
  }

 private:
  Status visit(ir::Node* node) {
    const LayerRule* rule = nullptr;
    if (node->bodies.empty() && node->op.name() != "cast")
      for (const LayerRule& r : settings_.layers)
        if (r.matches(*node)) rule = &r;
    const DType type = rule ? rule->type : wanted(*node);
    if (type == DType::kInvalid) return keep(node);
    // Products with weights beyond the range would be infinite.
    for (size_t i = 0; i < node->inputs.size(); ++i)
      if (node->has(i) && node->in(i)->constant && has_result_type(*node, i) && !holds(*node->in(i)->constant, type)) {
        note(*node, fmt::format("kept in fp32: a constant of it does not fit {}", user_name(type)));
        wide_.insert(node->outputs.begin(), node->outputs.end());
        return keep(node);
      }
    bool touched = false;
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      ir::Value* v = node->in(i);
      if (!v || !has_result_type(*node, i) || !exchangeable(v->dtype())) continue;
      touched = touched || types_.count(v);  // became narrow with its producer
      if (v->dtype() == type) continue;
      graph_.set_input(node, i, as(v, type, node));
      touched = true;
    }
    return touched ? infer(node, rule) : Status();
  }

  // The type by which a node without a rule runs; kInvalid: as the model says.
  DType wanted(const ir::Node& node) {
    const DType narrow = settings_.network;
    if (narrow == DType::kF32) return DType::kInvalid;
    const Kind kind = kind_of(node, settings_.wide_inside);
    if (kind == Kind::kKeep) return DType::kInvalid;
    if (kind == Kind::kCompute) {
      bool wide = false;
      for (size_t i = 0; i < node.inputs.size(); ++i) wide = wide || (has_result_type(node, i) && wide_.count(node.inputs[i]) > 0);
      return exchangeable(node.in(0)->dtype()) && !wide ? narrow : DType::kInvalid;
    }
    if (kind == Kind::kBounded) {
      const ir::Value* x = node.in(0);
      const bool narrowed = x->dtype() == narrow || (x->producer && is_widening(*x->producer, narrow));
      return narrowed && !wide_.count(x) ? narrow : DType::kInvalid;
    }
    size_t floats = 0, narrowed = 0;
    bool wide = false, table = false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::Value* v = node.in(i);
      if (!v || !exchangeable(v->dtype()) || !has_result_type(node, i)) continue;
      wide = wide || wide_.count(v);
      if (v->constant) {
        // -inf and the like are what they are; what does not fit makes the result wide.
        wide = wide || !holds(*v->constant, narrow);
        table = table || (is_data(node, i) && v->constant->size() >= 1024);
        continue;
      }
      if (!is_data(node, i)) continue;
      ++floats;
      narrowed += v->dtype() == narrow || (v->producer && is_widening(*v->producer, narrow));
    }
    if (wide) {
      if (narrowed > 0) note(node, fmt::format("kept in fp32: its numbers may not fit {}", user_name(narrow)));
      wide_.insert(node.outputs.begin(), node.outputs.end());
      return DType::kInvalid;
    }
    if (kind == Kind::kPointwise) return narrowed > 0 ? narrow : DType::kInvalid;
    if (floats == 0) return table ? narrow : DType::kInvalid;  // a look-up in a table of weights
    return narrowed == floats ? narrow : DType::kInvalid;
  }

  // Operands get back the types that the model gave them.
  Status keep(ir::Node* node) {
    if (node->op.name() == "cast") return {};  // takes any type
    bool touched = false;
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      ir::Value* v = node->in(i);
      if (!v) continue;
      const DType type = model_type(v);
      if (type == v->dtype()) continue;
      graph_.set_input(node, i, as(v, type, node));
      touched = true;
    }
    return touched ? infer(node, nullptr) : Status();
  }

  Status infer(ir::Node* node, const LayerRule* rule) {
    changed_ = true;
    std::vector<DType> before;
    for (const ir::Value* v : node->outputs) before.push_back(v->dtype());
    if (Status status = graph_.infer(node); !status) {
      if (rule) return invalid("--layer-precision {}: node {} cannot run in {}: {}", rule->text, node->where.str(), user_name(rule->type), status.message());
      return status;
    }
    for (size_t i = 0; i < before.size(); ++i)
      if (node->out(i)->dtype() != before[i]) types_.try_emplace(node->out(i), before[i]);
    return {};
  }

  DType model_type(const ir::Value* v) const {
    auto it = types_.find(v);
    return it == types_.end() ? v->dtype() : it->second;
  }

  // Whether the node only makes a value of this type wider, so that casting back loses nothing.
  static bool is_widening(const ir::Node& node, DType narrow) {
    const auto* cast = node.as<ops::Cast>();
    return cast && cast->to == DType::kF32 && node.in(0)->dtype() == narrow;
  }

  // The value in this type: a folded constant, the operand of the inverse cast, or a new cast in front of `before` (null: at the end).
  ir::Value* as(ir::Value* v, DType type, ir::Node* before) {
    if (v->dtype() == type) return v;
    ir::Value*& made = casts_[{v, type}];
    if (made) return made;
    if (v->constant) {
      Constant c = Constant::allocate(type, v->constant->dims);
      convert_floats(v->constant->dtype, v->constant->data, type, c.mutable_data(), c.size());
      return made = graph_.add_constant(std::move(c), v->name);
    }
    if (v->producer && is_widening(*v->producer, type)) return made = v->producer->in(0);
    ir::Graph::NodeOptions options;
    options.where = {v->producer ? v->producer->where.name : v->name, "Cast"};
    options.before = before;
    ++report_.casts;
    return made = graph_.add_unchecked(ops::Operator(ops::Cast{.to = type}), {v}, {{type, v->shape()}}, std::move(options))->out();
  }

  void note(const ir::Node& node, std::string text) { report_.notes.try_emplace(node.where.name.empty() ? node.out()->name : node.where.name, std::move(text)); }

  ir::Graph& graph_;
  const PrecisionSettings& settings_;
  PrecisionReport& report_;
  bool changed_ = false;
  std::unordered_map<const ir::Value*, DType> types_;  // what the model gave to values that have another type now
  std::unordered_set<const ir::Value*> wide_;          // may hold numbers that the narrow type does not
  std::map<std::pair<const ir::Value*, DType>, ir::Value*> casts_;
};

}  // namespace

Result<bool> SetPrecision::run(ir::Graph& graph, PassContext& context) const {
  if (!context.precision || context.precision->asks_nothing()) return false;
  PrecisionReport unread;
  PrecisionReport& report = context.precision_report ? *context.precision_report : unread;
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    CARNOT_ASSIGN(const bool some, Typing(g, *context.precision, report).run());
    changed |= some;
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(set_precision, SetPrecision)

}  // namespace carnot::passes
