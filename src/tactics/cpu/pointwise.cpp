// SPDX-License-Identifier: Apache-2.0
// Element-wise operators and groups of them on cpu.pointwise.
#include "ops/pointwise.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "backends/cpu/kernels/pointwise/program.hpp"
#include "ops/cast.hpp"
#include "ops/group.hpp"
#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

// Turns nodes into a program; operands that are no results of earlier steps become the program's inputs, constants of one element
// its immediates.
class ProgramBuilder {
 public:
  Refusal refusal;
  cpu::PointwiseProgram program;
  std::vector<const ir::Value*> inputs;

  void add(const ir::Node& node) {
    if (const auto* cast = node.as<ops::Cast>()) {
      if (!cpu::lane_of(node.in(0)->dtype()) || !cpu::lane_of(cast->to)) return refuse(fmt::format("cast from {} to {}", dtype_name(node.in(0)->dtype()), dtype_name(cast->to)));
      results_[node.out()] = program.add_cast(cast->to, operand(node.in(0)));
      return;
    }
    const auto call = ops::pointwise_call(node.op);
    if (!call || node.outputs.size() != 1) return refuse("other operator");
    cpu::PointwiseOperand in[3];
    for (size_t i = 0; i < 3 && i < static_cast<size_t>(pointwise_row(call->op).arity); ++i) {
      if (node.has(i)) {
        in[i] = operand(node.in(i));
      } else {  // an absent bound of clip
        if (!is_float(node.out()->dtype())) return refuse("an absent bound of an integer clip");
        in[i] = program.add_immediate(i == 1 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity());
      }
    }
    cpu::PointwiseOperand y = program.add(call->op, in[0], in[1], in[2], call->alpha, call->beta);
    // Lanes are wider than these types: what grew is cut before anything else reads it.
    const DType type = node.out()->dtype();
    if (is_integer(type) && type != DType::kI32 && type != DType::kI64) y = program.add_cast(type, y);
    results_[node.out()] = y;
  }

  void add_output(const ir::Value* v) { program.add_output(v->dtype(), operand(v)); }

  void finish() {
    if (!refusal.empty()) return;
    if (Status status = program.verify(); !status) refuse(status.message());
  }

 private:
  void refuse(std::string why) {
    if (refusal.empty()) refusal = std::move(why);
  }

  cpu::PointwiseOperand operand(const ir::Value* v) {
    if (auto it = results_.find(v); it != results_.end()) return it->second;
    if (!cpu::lane_of(v->dtype())) refuse(fmt::format("dtype {}", dtype_name(v->dtype())));
    cpu::PointwiseOperand o;
    if (v->constant && v->constant->size() == 1 && v->shape().size() <= 1 && (v->dtype() == DType::kF32 || v->dtype() == DType::kF16 || v->dtype() == DType::kBF16 || is_integer(v->dtype()) || v->dtype() == DType::kBool) && v->dtype() != DType::kU64) {
      float number = 0;
      convert_floats(v->dtype(), v->constant->data, DType::kF32, &number, 1);
      if (is_float(v->dtype()))
        o = program.add_immediate(static_cast<double>(number));
      else if (auto ints = to_int64s(v->constant->view()))
        o = program.add_immediate(v->dtype() == DType::kBool ? DType::kBool : v->dtype() == DType::kI64 || v->dtype() == DType::kU32 ? DType::kI64 : DType::kI32, ints->front());
    } else {
      o = program.add_input(v->dtype());
      inputs.push_back(v);
    }
    results_[v] = o;
    return o;
  }

  std::map<const ir::Value*, cpu::PointwiseOperand> results_;
};

ProgramBuilder read(const ir::Node& node) {
  ProgramBuilder builder;
  if (const auto* group = node.as<ops::Group>()) {
    if (group->kind != "pointwise") {
      builder.refusal = "other operator";
      return builder;
    }
    for (const auto& step : node.bodies[0]->nodes()) builder.add(*step);
    if (builder.refusal.empty())
      for (const ir::Value* v : node.bodies[0]->outputs()) builder.add_output(v);
  } else {
    if (!node.op.info().pointwise) {
      builder.refusal = "other operator";
      return builder;
    }
    builder.add(node);
    if (builder.refusal.empty()) builder.add_output(node.out());
  }
  builder.finish();
  return builder;
}

class PointwiseTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.pointwise"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& problem) const override {
    ProgramBuilder builder = read(problem.node);
    if (!builder.refusal.empty()) return builder.refusal;
    for (const ir::Value* v : problem.node.outputs)
      if (!(v->shape() == problem.node.outputs[0]->shape())) return "results of different shapes";
    if (builder.inputs.empty()) return "no operand";
    return {};
  }
  Result<Candidate> build(const Problem& problem, const Config&) const override {
    ProgramBuilder builder = read(problem.node);
    Candidate candidate;
    candidate.kernel = "cpu.pointwise";
    candidate.params = {{"program", builder.program.str()}};
    for (const ir::Value* v : builder.inputs) {
      // Inside a group the program's inputs are the body's parameters, in any order.
      const auto& places = problem.node.as<ops::Group>() ? problem.node.bodies[0]->inputs() : problem.node.inputs;
      const auto it = std::find(places.begin(), places.end(), v);
      if (it != places.end())
        candidate.inputs.push_back(Operand::of(static_cast<size_t>(it - places.begin())));
      else
        candidate.inputs.push_back(Operand::packed(*v->constant));
    }
    // Element by element, so any operand will do that is not broadcast; but a result that is an operand unchanged is stored after others.
    const auto& results = builder.program.outputs;
    const bool passes_on = std::any_of(results.begin(), results.end(), [](const auto& r) { return r.value.kind == cpu::PointwiseOperand::kInput; });
    if (results.size() == 1 || !passes_on) candidate.in_place = (1u << builder.inputs.size()) - 1;
    return candidate;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, pointwise, PointwiseTactic)

}  // namespace carnot::tactics
