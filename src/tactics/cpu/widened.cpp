// SPDX-License-Identifier: Apache-2.0
// f16 and bf16 without a kernel of their own: the kernel of f32, with operands widened before and results rounded after it.
#include <algorithm>

#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

bool is_half(DType t) { return t == DType::kF16 || t == DType::kBF16; }

ops::ValueFacts widened(ops::ValueFacts facts) {
  if (is_half(facts.dtype)) facts.dtype = DType::kF32;
  return facts;
}

// The node alone in a graph of its own, with f32 where it has narrow floats.
struct Shadow {
  ir::Graph graph;
  const ir::Node* node = nullptr;

  explicit Shadow(const ir::Node& source) {
    std::vector<ir::Value*> inputs;
    for (const ir::Value* v : source.inputs) {
      if (!v) {
        inputs.push_back(nullptr);
      } else if (v->constant && is_half(v->dtype())) {
        Constant wide = Constant::allocate(DType::kF32, v->constant->dims);
        convert_floats(v->dtype(), v->constant->data, DType::kF32, wide.mutable_data(), wide.size());
        inputs.push_back(graph.add_constant(std::move(wide)));
      } else if (v->constant) {
        inputs.push_back(graph.add_constant(*v->constant));
      } else {
        inputs.push_back(graph.add_input(v->name, widened(v->facts).dtype, v->shape()));
        inputs.back()->facts.values = v->facts.values;
      }
    }
    std::vector<ops::ValueFacts> facts;
    for (const ir::Value* v : source.outputs) facts.push_back(widened(v->facts));
    ir::Node* copy = graph.add_unchecked(source.op, std::move(inputs), std::move(facts), {.where = source.where});
    std::vector<ir::Value*> wanted;
    for (size_t i = 0; i < source.outputs.size(); ++i)
      if (!source.out(i)->uses.empty() || source.graph->is_output(source.out(i))) wanted.push_back(copy->out(i));
    graph.set_outputs(std::move(wanted));
    node = copy;
  }
};

class WidenedTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.widened"; }
  int priority() const override { return 1; }

  Refusal refuses(const Problem& p) const override {
    auto half = [](const ir::Value* v) { return v && is_half(v->dtype()); };
    if (std::none_of(p.node.inputs.begin(), p.node.inputs.end(), half) && std::none_of(p.node.outputs.begin(), p.node.outputs.end(), half)) return "other operator";
    if (!p.node.bodies.empty()) return "bodies";
    const Shadow shadow(p.node);
    for (const Tactic* tactic : all_tactics())
      if (tactic->device() == "cpu" && tactic->priority() > priority() && tactic->refuses({*shadow.node, p.target}).empty()) return {};
    return "f32 has no fast kernel either";
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const Shadow shadow(p.node);
    CARNOT_ASSIGN(Choice choice, choose({*shadow.node, {}}));
    Candidate c = std::move(choice.candidate);
    c.params.emplace_back("kernel_id", c.kernel);
    c.note = c.kernel + " in f32" + (c.note.empty() ? "" : ", " + c.note);
    c.kernel = "cpu.widened";
    c.in_place = 0;
    // Constants are stored wide: widening them at every run would cost more than the memory.
    for (Operand& operand : c.inputs) {
      if (operand.input < 0) continue;
      const ir::Value* v = p.node.in(static_cast<size_t>(operand.input));
      if (v->constant && is_half(v->dtype())) operand = Operand::packed(*shadow.node->in(static_cast<size_t>(operand.input))->constant);
    }
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, widened, WidenedTactic)

}  // namespace carnot::tactics
