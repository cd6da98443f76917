// SPDX-License-Identifier: Apache-2.0
#include "passes/recognize_activations.hpp"

#include <cmath>

#include "ops/pointwise.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440, kSqrt2OverPi = 0.79788456080286535588;

// x * y * 0.5, in any order and association.
Pattern half_product(const Pattern& x, const Pattern& y) {
  return one_of({times(op("mul", {x, y}), 0.5), op("mul", {times(x, 0.5), y}), op("mul", {x, times(y, 0.5)})});
}

// min(max(x, 0), high)
Pattern clipped(const Pattern& x, double high) {
  return one_of({op("clip", {x, number(0), number(high)}), op("min", {op("relu", {x}), number(high)}),
                 op("min", {op("max", {x, number(0)}), number(high)}), op("max", {op("min", {x, number(high)}), number(0)})});
}

// The bound of an operator that has scalars of x's type may not widen the result by broadcasting: apply_rules compares ranks.
ops::HardSigmoid hard_sigmoid(double alpha, double beta) {
  ops::HardSigmoid out;
  out.alpha = alpha;
  out.beta = beta;
  return out;
}

bool is_sixth(const ir::Node* node) {
  const auto* hs = node->as<ops::HardSigmoid>();
  return hs && std::abs(hs->alpha - 1.0 / 6) < 1e-6 && std::abs(hs->beta - 0.5) < 1e-6;
}

std::vector<Rule> make_rules() {
  const Pattern x = any(0);
  const Pattern exp_minus_x = op("exp", {op("neg", {x})});
  const Pattern erf = op("add", {op("erf", {times(x, kSqrtHalf)}), number(1)});
  const Pattern x2 = one_of({op("mul", {x, x}), op("pow", {x, number(2)})});
  const Pattern x3 = one_of({op("pow", {x, number(3)}), op("mul", {x2, x})});
  const Pattern cubic = one_of({op("add", {x, times(x3, 0.044715)}), op("add", {x, op("mul", {times(x2, 0.044715), x})}),
                                op("add", {x, op("mul", {x2, times(x, 0.044715)})}),
                                op("mul", {x, op("add", {times(x2, 0.044715), number(1)})})});
  const Pattern inner = one_of({times(cubic, kSqrt2OverPi), op("mul", {times(x, kSqrt2OverPi), op("add", {times(x2, 0.044715), number(1)})})});
  const Pattern tanh = op("add", {op("tanh", {inner}), number(1)});
  const auto gelu = [](std::string approximate) {
    return [approximate](Rewrite& r) { return r.make(ops::Gelu{approximate}, {r.value(0)}); };
  };
  const auto linear = [](Rewrite& r) { return r.make(hard_sigmoid(r.scalar(1), r.scalar(2)), {r.value(0)}); };
  return {
      {op("max", {x, number(0)}), [](Rewrite& r) { return r.make(ops::Relu{}, {r.value(0)}); }},
      {one_of({op("reciprocal", {op("add", {exp_minus_x, number(1)})}), op("div", {number(1), op("add", {exp_minus_x, number(1)})})}),
       [](Rewrite& r) { return r.make(ops::Sigmoid{}, {r.value(0)}); }},
      {op("log", {op("add", {op("exp", {x}), number(1)})}), [](Rewrite& r) { return r.make(ops::Softplus{}, {r.value(0)}); }},
      {op("mul", {x, op("sigmoid", {x})}), [](Rewrite& r) { return r.make(ops::Silu{}, {r.value(0)}); }},
      {op("mul", {x, op("sigmoid", {op("mul", {x, scalar(1)})})}),
       [](Rewrite& r) {
         ops::QuickGelu op;
         op.alpha = r.scalar(1);
         return r.make(op, {r.value(0)});
       }},
      {half_product(x, erf), gelu("none")},
      {half_product(x, tanh), gelu("tanh")},
      {one_of({op("div", {clipped(op("add", {x, number(3)}), 6), number(6)}), op("mul", {clipped(op("add", {x, number(3)}), 6), number(1.0 / 6)})}),
       [](Rewrite& r) { return r.make(hard_sigmoid(1.0 / 6, 0.5), {r.value(0)}); }},
      {times(op("mul", {x, clipped(op("add", {x, number(3)}), 6)}), 1.0 / 6), [](Rewrite& r) { return r.make(ops::HardSwish{}, {r.value(0)}); }},
      {op("mul", {times(x, 1.0 / 6), clipped(op("add", {x, number(3)}), 6)}), [](Rewrite& r) { return r.make(ops::HardSwish{}, {r.value(0)}); }},
      {clipped(op("add", {op("mul", {x, scalar(1)}), scalar(2)}), 1), linear},
      {op("mul", {x, op("hard_sigmoid", {x}, 1)}),
       [](Rewrite& r) -> ir::Value* { return is_sixth(r.node(1)) ? r.make(ops::HardSwish{}, {r.value(0)}) : nullptr; }},
      {op("mul", {x, op("tanh", {op("softplus", {x})})}), [](Rewrite& r) { return r.make(ops::Mish{}, {r.value(0)}); }},
  };
}

}  // namespace

Result<bool> RecognizeActivations::run(ir::Graph& graph, PassContext&) const {
  static const auto* rules = new std::vector<Rule>(make_rules());
  return apply_rules(graph, *rules);
}

CARNOT_DEFINE_PASS(recognize_activations, RecognizeActivations)

}  // namespace carnot::passes
