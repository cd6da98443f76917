// SPDX-License-Identifier: Apache-2.0
// lstm and gru of f32 with constant weights, the usual activations and sequences of one length on cuda.recurrent.
#include <algorithm>

#include "ops/gru.hpp"
#include "ops/lstm.hpp"
#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

constexpr int64_t kMostUnits = 256;  // what the registers of eight blocks hold

template <typename Op>
Refusal refuses_common(const Problem& p, const Op& op) {
  if (p.target.sm < 90) return "blocks form clusters from sm_90 on";
  if (p.in(0).dtype != DType::kF32) return "only f32";
  for (size_t i : {1, 2})
    if (!p.constant(i)) return "the weights are computed at run time";
  if (p.node.has(3) && !p.constant(3)) return "the bias is computed at run time";
  if (!op.activations.empty()) return "activations other than the usual ones";
  if (op.clip) return "clip";
  if (op.layout != 0) return "batch before time";
  if (p.node.has(4)) return "sequences of different lengths";
  if (p.constant(2)->dims[2] > kMostUnits || p.constant(1)->size() == 0) return "more than 256 units, or none";
  return {};
}

// [directions, gates, units, columns] with units, and columns if there are as many, filled up with zeros. `stride`: elements from one
// direction to the next in `from`.
Constant padded(const float* from, int64_t stride, int64_t directions, int64_t gates, int64_t units, int64_t hidden, int64_t columns, int64_t to_columns) {
  Constant out = Constant::allocate(DType::kF32, {directions, gates, hidden, to_columns});
  auto* to = static_cast<float*>(out.mutable_data());
  std::fill_n(to, out.size(), 0.f);
  for (int64_t d = 0; d < directions; ++d)
    for (int64_t g = 0; g < gates; ++g)
      for (int64_t u = 0; u < units; ++u)
        std::copy_n(from + d * stride + (g * units + u) * columns, columns, to + ((d * gates + g) * hidden + u) * to_columns);
  return out;
}

class RecurrentTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.recurrent"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& p) const override {
    if (const auto* lstm = p.node.as<ops::Lstm>()) {
      if (lstm->input_forget) return "input_forget";
      if (p.node.has(7)) return "peepholes";
      return refuses_common(p, *lstm);
    }
    if (const auto* gru = p.node.as<ops::Gru>()) {
      if (!gru->linear_before_reset) return "reset before the product with the state";
      return refuses_common(p, *gru);
    }
    return "other operator";
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* lstm = p.node.as<ops::Lstm>();
    const Constant &w = *p.constant(1), &r = *p.constant(2);
    const int64_t directions = w.dims[0], input = w.dims[2], units = r.dims[2], gates = lstm ? 4 : 3;
    int64_t hidden = 32;
    while (hidden < units) hidden *= 2;
    Candidate c{.kernel = "cuda.recurrent",
                .params = {{"kind", std::string(lstm ? "lstm" : "gru")}, {"direction", lstm ? lstm->direction : p.node.as<ops::Gru>()->direction}, {"hidden", hidden}, {"units", units}},
                .inputs = {Operand::of(0), Operand::packed(padded(w.as<float>(), gates * units * input, directions, gates, units, hidden, input, input)),
                           Operand::packed(padded(r.as<float>(), gates * units * units, directions, gates, units, hidden, units, hidden)), Operand::absent(), Operand::absent()}};
    if (const Constant* b = p.constant(3)) {
      // [directions, 2 * gates * units]: first the biases on x, then those on h. lstm adds them up; gru's last gate needs its own apart.
      Constant on_x = padded(b->as<float>(), 2 * gates * units, directions, gates, units, hidden, 1, 1);
      Constant on_h = padded(b->as<float>() + gates * units, 2 * gates * units, directions, gates, units, hidden, 1, 1);
      if (lstm) {
        auto* x = static_cast<float*>(on_x.mutable_data());
        for (int64_t i = 0; i < on_x.size(); ++i) x[i] += on_h.as<float>()[i];
      } else {
        c.inputs[4] = Operand::packed(std::move(on_h));
      }
      on_x.dims = {on_x.size()};
      c.inputs[3] = Operand::packed(std::move(on_x));
    }
    for (size_t i : {5, 6}) c.inputs.push_back(p.node.has(i) && (lstm || i == 5) ? Operand::of(i) : Operand::absent());
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cuda, recurrent, RecurrentTactic)

}  // namespace carnot::tactics
