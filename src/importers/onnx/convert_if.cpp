// SPDX-License-Identifier: Apache-2.0
// If: the branches become bodies that take all outer values that either uses. Where the condition is known, the branch's nodes are put in
// place of the node: exporters decide about ranks this way, and the other branch need not even be valid then.
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
  std::vector<ir::Value*> inputs{n.in(0)};
  for (ir::Value* v : NodeContext::merge_captures(bodies)) inputs.push_back(v);
  ir::Builder::Options options{.outputs = outputs};
  for (Body& body : bodies) options.bodies.push_back(std::move(body.graph));
  return n.build().add("if", std::move(inputs), {}, std::move(options));
}

}  // namespace

CARNOT_CONVERTERS(convert_if, {"If", 1, kLatest, if_else})

}  // namespace carnot::onnx
