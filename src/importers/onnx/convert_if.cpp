// SPDX-License-Identifier: Apache-2.0
// If: the branches become bodies that take all outer values that either uses. Where the condition is known, the branch's nodes are put in
// place of the node: exporters decide about ranks this way, and the other branch need not even be valid then. Where it is not known but
// the branches give different ranks, the rest of the graph can only be right for one of them: that one is put in place too, and a run
// that meets the other outcome is refused (operator expect). Branches that give one element each get one rank.
#include <algorithm>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

std::optional<bool> known(const ir::Value* cond) {
  std::optional<std::vector<int64_t>> values;
  if (cond->constant) {
    if (auto ints = to_int64s(cond->constant->view())) values = std::move(*ints);
  } else if (cond->facts.values && is_static(*cond->facts.values)) {
    values = to_dims(*cond->facts.values);
  }
  if (!values || values->size() != 1) return std::nullopt;
  return (*values)[0] != 0;
}

bool same_ranks(const ir::Graph& a, const ir::Graph& b) {
  for (size_t i = 0; i < a.outputs().size(); ++i)
    if (a.outputs()[i]->rank() != b.outputs()[i]->rank() || a.outputs()[i]->dtype() != b.outputs()[i]->dtype()) return false;
  return true;
}

bool holds_one(const ir::Value* v) {
  return std::all_of(v->shape().begin(), v->shape().end(), [](const Dim& d) { return d.is(1); });
}

// One number in one branch and [1] in the other, as some exporters write it: both get the higher rank. (ONNX Runtime gives what the
// branch gives; what takes one takes the other but for shape arithmetic.)
Status unify_ranks(ir::Graph& a, ir::Graph& b) {
  for (size_t i = 0; i < a.outputs().size(); ++i) {
    ir::Value *x = a.outputs()[i], *y = b.outputs()[i];
    if (x->rank() == y->rank() || !holds_one(x) || !holds_one(y)) continue;
    ir::Graph& lower = x->rank() < y->rank() ? a : b;
    const std::vector<int64_t> dims(std::max(x->rank(), y->rank()), 1);
    ir::Builder build(lower);
    CARNOT_ASSIGN(lower.mutable_outputs()[i], build.add1("reshape", {lower.outputs()[i], build.ints(dims)}));
  }
  return {};
}

Outputs one_branch(NodeContext& n, bool taken) {
  CARNOT_ASSIGN(std::vector<ir::Value*> outputs, n.inline_graph(taken ? "then_branch" : "else_branch"));
  const std::string message = fmt::format("the branches of this If give tensors of different ranks, and the engine is built for the case that the condition is {}; build it for these "
                                          "input shapes (--shape)", taken);
  for (ir::Value*& v : outputs) {
    CARNOT_ASSIGN(v, n.emit1("expect", {v, n.in(0)}, {{"value", int64_t{taken}}, {"message", message}}));
  }
  return outputs;
}

Outputs if_else(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  if (n.in(0)->dtype() != DType::kBool) return invalid("input 0 (the condition) must be bool, it is {}", dtype_name(n.in(0)->dtype()));
  if (const auto cond = known(n.in(0))) return n.inline_graph(*cond ? "then_branch" : "else_branch");
  std::vector<Body> bodies;
  for (const char* name : {"then_branch", "else_branch"}) {
    CARNOT_ASSIGN(Body body, n.body(name, {}));
    bodies.push_back(std::move(body));
  }
  const size_t outputs = bodies[0].graph->outputs().size();
  if (bodies[1].graph->outputs().size() != outputs)
    return invalid("then_branch has {} outputs, else_branch {}", outputs, bodies[1].graph->outputs().size());
  CARNOT_RETURN_IF_ERROR(unify_ranks(*bodies[0].graph, *bodies[1].graph));
  if (!same_ranks(*bodies[0].graph, *bodies[1].graph)) return one_branch(n, n.guess());
  std::vector<ir::Value*> inputs{n.in(0)};
  for (ir::Value* v : NodeContext::merge_captures(bodies)) inputs.push_back(v);
  ir::Builder::Options options{.outputs = outputs};
  for (Body& body : bodies) options.bodies.push_back(std::move(body.graph));
  return n.build().add("if", std::move(inputs), {}, std::move(options));
}

}  // namespace

CARNOT_CONVERTERS(convert_if, {"If", 1, kLatest, if_else})

}  // namespace carnot::onnx
