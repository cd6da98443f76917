// SPDX-License-Identifier: Apache-2.0
// lstm and gru of f32 with constant weights, the usual activations on cpu.recurrent.
#include <algorithm>

#include "backends/cpu/kernels/gemm/pack.hpp"
#include "ops/gru.hpp"
#include "ops/lstm.hpp"
#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

template <typename Op>
Refusal refuses_common(const Problem& p, const Op& op) {
  if (p.in(0).dtype != DType::kF32) return "only f32";
  for (size_t i : {1, 2})
    if (!p.constant(i)) return "the weights are computed at run time";
  if (p.node.has(3) && !p.constant(3)) return "the bias is computed at run time";
  if (!op.activations.empty()) return "activations other than the usual ones";
  if (op.clip) return "clip";
  if (op.layout != 0) return "batch before time";
  return {};
}

// Each direction's [gates*hidden, k] packed, one behind the other.
Constant pack(const Constant& w) {
  const int64_t d = w.dims[0], n = w.dims[1], k = w.dims[2];
  Constant out = Constant::allocate(DType::kF32, {d * cpu::packed_size(k, n)});
  for (int64_t i = 0; i < d; ++i)
    cpu::pack_nk(w.as<float>() + i * n * k, k, n, k, static_cast<float*>(out.mutable_data()) + i * cpu::packed_size(k, n));
  return out;
}

class RecurrentTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.recurrent"; }
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
    const int64_t d = w.dims[0], columns = w.dims[1], hidden = r.dims[2];
    Candidate c{.kernel = "cpu.recurrent",
                .params = {{"kind", std::string(lstm ? "lstm" : "gru")},
                           {"direction", lstm ? lstm->direction : p.node.as<ops::Gru>()->direction},
                           {"hidden", hidden}},
                .inputs = {Operand::of(0), Operand::packed(pack(w)), Operand::packed(pack(r)), Operand::absent(), Operand::absent()}};
    if (const Constant* b = p.constant(3)) {
      // [directions, 2 * columns]: first the biases on x, then those on h. lstm adds them up; gru's last gate needs its own apart.
      Constant on_x = Constant::allocate(DType::kF32, {d, columns}), on_h = Constant::allocate(DType::kF32, {d, columns});
      auto *x = static_cast<float*>(on_x.mutable_data()), *h = static_cast<float*>(on_h.mutable_data());
      for (int64_t i = 0; i < d; ++i)
        for (int64_t k = 0; k < columns; ++k) {
          const float* from = b->as<float>() + i * 2 * columns;
          x[i * columns + k] = from[k] + (lstm ? from[columns + k] : 0.f);
          h[i * columns + k] = from[columns + k];
        }
      c.inputs[3] = Operand::packed(std::move(on_x));
      if (!lstm) c.inputs[4] = Operand::packed(std::move(on_h));
    }
    for (size_t i : {5, 6}) c.inputs.push_back(p.node.has(i) ? Operand::of(i) : Operand::absent());
    if (p.node.has(4)) c.inputs.push_back(Operand::of(4));
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, recurrent, RecurrentTactic)

}  // namespace carnot::tactics
