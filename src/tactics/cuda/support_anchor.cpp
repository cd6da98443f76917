// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_anchor.hpp"

#include <algorithm>

#include "ops/group.hpp"

namespace carnot::tactics::cuda {
namespace {

// The place of a group's inner value among the group's operands; -1 if it is none.
int outer_place(const ir::Node& group, const ir::Value* v) {
  const auto& places = group.bodies.empty() ? group.inputs : group.bodies[0]->inputs();
  const auto it = std::find(places.begin(), places.end(), v);
  return it == places.end() ? -1 : static_cast<int>(it - places.begin());
}

}  // namespace

Anchor::Input Anchor::input(const Problem& p, size_t i) const {
  Input in;
  const ir::Value* v = node->in(i);
  if (!v) return in;
  in.outer = outer_place(p.node, v);
  in.value = in.outer >= 0 ? p.node.in(static_cast<size_t>(in.outer)) : v;
  if (in.value && in.value->constant) in.constant = &*in.value->constant;
  return in;
}

Anchor read_anchor(const Problem& p, std::string_view kind) {
  Anchor a;
  const auto* group = p.node.as<ops::Group>();
  if (!group) {
    a.node = &p.node;
    return a;
  }
  if (group->kind != kind) {
    a.refusal = "other operator";
    return a;
  }
  const ir::Graph& body = *p.node.bodies[0];
  for (const auto& step : body.nodes()) {
    if (!a.node) {
      a.node = step.get();
    } else {
      a.steps.push_back(step.get());
      if (Refusal r = refuses_step(*step); !r.empty()) a.refusal = fmt::format("step {}: {}", step->op.str(), r);
    }
  }
  if (!a.node) a.refusal = "an empty group";
  else if (body.outputs().size() != 1 || body.outputs()[0] != (a.steps.empty() ? a.node : a.steps.back())->out()) a.refusal = "the group has other results than its last step";
  else if (!(a.node->out()->shape() == p.out().shape)) a.refusal = "the steps change the shape";
  return a;
}

Epilogue::Epilogue(Kernel& kernel, const Problem& problem, const Anchor& anchor, Shape out, size_t channel)
    : k_(kernel), p_(problem), a_(anchor), out_(std::move(out)), channel_(channel) {}

void Epilogue::declare(std::string_view name, const ir::Value* v) {
  const int outer = outer_place(p_.node, v);
  if (outer >= 0) k_.input(name, static_cast<size_t>(outer));
  else k_.packed(name, *v->constant);
}

std::string Epilogue::element(std::string_view name, const ir::Value* v) {
  declare(name, v);
  Space s{out_, {broadcast_strides(k_.shape(v->shape()), out_)}};
  bool only_channel = true;
  for (size_t i = 0; i < out_.size(); ++i) only_channel = only_channel && (i == channel_ ? s.strides[0][i].is(1) : s.strides[0][i].is(0) || out_[i].is(1));
  if (only_channel && !out_.empty()) return fmt::format("up({}[c])", name);
  s.collapse();
  if (s.sizes.empty() || (s.sizes.size() == 1 && s.strides[0][0].is(0))) return fmt::format("up({}[0])", name);
  if (s.sizes.size() == 1 && s.strides[0][0].is(1)) return fmt::format("up({}[o])", name);
  const std::string prefix = fmt::format("{}_", name);
  declarations_ += unravel(k_, "o", s.sizes, prefix);
  return fmt::format("up({}[{}])", name, dot(k_, prefix, s.strides[0]));
}

std::string Epilogue::anchor_element(std::string_view name, size_t i) { return element(name, a_.node->in(i)); }

std::string Epilogue::anchor_channel(std::string_view name, size_t i) {
  declare(name, a_.node->in(i));
  return fmt::format("up({}[c])", name);
}

Result<std::string> Epilogue::text(std::string_view sum) {
  Expression e(k_);
  const std::string type = compute_type(a_.node->out()->dtype());
  e.bind(a_.node->out(), "sum");
  std::string operands;
  int n = 0;
  for (const ir::Node* step : a_.steps)
    for (const ir::Value* v : step->inputs) {
      if (!v || e.knows(v)) continue;
      const bool made = std::any_of(a_.steps.begin(), a_.steps.end(), [&](const ir::Node* s) { return s->out() == v; });
      if (made) continue;
      const std::string name = fmt::format("e{}", n++);
      operands += fmt::format("    const {} v_{} = {};\n", compute_type(v->dtype()), name, element(name, v));
      e.bind(v, "v_" + name);
    }
  for (const ir::Node* step : a_.steps)
    if (Refusal r = e.add(*step); !r.empty()) return fail(Code::kInternal, "{}", r);
  const ir::Value* last = a_.steps.empty() ? a_.node->out() : a_.steps.back()->out();
  return fmt::format("  auto finish = [&](const {} acc, const I o, const I c) {{\n{}    const {} sum = {};\n{}{}    return down<{}>({});\n  }};\n", type, declarations_, type, sum, operands, e.text,
                     storage_type(last->dtype()), e.variable(last));
}

}  // namespace carnot::tactics::cuda
