// SPDX-License-Identifier: Apache-2.0
// matmul and gemm with constant weights on cpu.gemm; both operands computed on cpu.matmul.
#include "ops/gemm.hpp"

#include "backends/cpu/kernels/gemm/pack.hpp"
#include "ops/matmul.hpp"
#include "tactics/cpu/support_blocking.hpp"
#include "tactics/cpu/support_fused.hpp"

namespace carnot::tactics {
namespace {

struct Anchor {
  bool trans_a = false, trans_b = false;
  double alpha = 1;
  Refusal refusal;
};

Anchor read_anchor(const Fused& fused, const ir::Node& node) {
  Anchor a;
  if (!fused.anchor) {
    a.refusal = "other operator";
  } else if (const auto* gemm = fused.anchor->as<ops::Gemm>()) {
    a.trans_a = gemm->trans_a != 0;
    a.trans_b = gemm->trans_b != 0;
    a.alpha = gemm->alpha;
    if (fused.anchor->has(2)) {
      if (gemm->beta != 1) a.refusal = "beta is not 1";
      // c must be a vector over the columns; anything else is added in front of nothing we have.
      const Shape& c = fused.anchor->in(2)->shape();
      const Shape& y = fused.anchor->out()->shape();
      if (fused.anchor_inputs[2] < 0 || c.empty() || !(c.back() == y.back()) || (c.size() == 2 && !c[0].is(1))) a.refusal = "input 2 is no vector over the columns";
      if (fused.bias >= 0) a.refusal = "a second bias";
    }
  } else if (!fused.anchor->as<ops::MatMul>()) {
    a.refusal = "other operator";
  }
  if (a.refusal.empty()) a.refusal = fused.refusal;
  if (!a.refusal.empty()) return a;
  const ir::Value *x = fused.operand(node, 0), *w = fused.operand(node, 1);
  if (!x || !w) a.refusal = "an operand lies inside the group";
  else if (x->dtype() != w->dtype() || (x->dtype() != DType::kF32 && !is_half(x->dtype()))) a.refusal = "only f32, f16 and bf16";
  return a;
}

int bias_of(const Fused& fused) {
  if (fused.bias >= 0) return fused.bias;
  return fused.anchor->as<ops::Gemm>() && fused.anchor_inputs.size() > 2 ? fused.anchor_inputs[2] : -1;
}

// Elements of the sums, 0 if that is not known.
int64_t depth_of(const Problem& problem, const Fused& fused) {
  const Shape& x = fused.operand(problem.node, 0)->shape();
  const auto* gemm = fused.anchor->as<ops::Gemm>();
  const size_t axis = x.size() - (gemm && gemm->trans_a && x.size() > 1 ? 2 : 1);
  return extent_at(problem, x, axis, axis + 1);
}

class GemmTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.gemm"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& problem) const override {
    const Fused fused = read_fused(problem.node, "matmul");
    const Anchor a = read_anchor(fused, problem.node);
    if (!a.refusal.empty()) return a.refusal;
    const ir::Value *x = fused.operand(problem.node, 0), *w = fused.operand(problem.node, 1);
    if (!w->constant) return "both operands are computed at run time";
    if (w->rank() != 2) return fmt::format("the weights have rank {}", w->rank());
    if (a.trans_a) return "input 0 is transposed";
    if (x->rank() < 1) return "input 0 is a scalar";
    if (!bias_operand(problem.node, bias_of(fused))) return "the bias is computed at run time";
    return {};
  }

  std::vector<Config> configs(const Problem& problem, Effort effort) const override {
    const Shape& y = problem.out().shape;
    const Fused fused = read_fused(problem.node, "matmul");
    return blocking_configs({extent_at(problem, y, 0, y.size() - 1), extent_at(problem, y, y.size() - 1, y.size()), depth_of(problem, fused)}, effort);
  }

  Result<Candidate> build(const Problem& problem, const Config& config) const override {
    const Fused fused = read_fused(problem.node, "matmul");
    const Anchor a = read_anchor(fused, problem.node);
    const DType type = fused.operand(problem.node, 1)->dtype();
    const Constant w = type == DType::kF32 ? *fused.operand(problem.node, 1)->constant : converted(*fused.operand(problem.node, 1)->constant, DType::kF32);
    const int64_t k = a.trans_b ? w.dims[1] : w.dims[0], n = a.trans_b ? w.dims[0] : w.dims[1];
    Constant packed = Constant::allocate(DType::kF32, {cpu::packed_size(k, n)});
    auto* to = static_cast<float*>(packed.mutable_data());
    if (a.trans_b)
      cpu::pack_nk(w.as<float>(), k, n, k, to);
    else
      cpu::pack_kn(w.as<float>(), k, n, n, to);
    if (a.alpha != 1)
      for (int64_t i = 0; i < packed.size(); ++i) to[i] *= static_cast<float>(a.alpha);
    if (type != DType::kF32) packed = converted(packed, type);
    Candidate candidate;
    candidate.kernel = "cpu.gemm";
    candidate.params = {{"k", k}, {"n", n}};
    fused.add_params(candidate.params);
    add_config(candidate.params, config);
    candidate.inputs = {Operand::of(static_cast<size_t>(fused.anchor_inputs[0])), Operand::packed(std::move(packed)), *bias_operand(problem.node, bias_of(fused)),
                        fused.residual >= 0 ? Operand::of(static_cast<size_t>(fused.residual)) : Operand::absent()};
    candidate.in_place = fused.in_place(k, 3);
    return candidate;
  }
};

class MatmulTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.matmul"; }
  int priority() const override { return 90; }

  Refusal refuses(const Problem& problem) const override {
    const Fused fused = read_fused(problem.node, "matmul");
    const Anchor a = read_anchor(fused, problem.node);
    if (!a.refusal.empty()) return a.refusal;
    const ir::Value *x = fused.operand(problem.node, 0), *w = fused.operand(problem.node, 1);
    if (x->dtype() != DType::kF32) return "only f32";
    if (x->rank() < 2 || w->rank() < 2) return "an operand is a vector";
    if (problem.out().shape.size() > 6) return "more than four batch axes";
    if (fused.residual >= 0) return "a residual";
    return {};
  }

  std::vector<Config> configs(const Problem& problem, Effort effort) const override {
    const Shape& y = problem.out().shape;
    const Fused fused = read_fused(problem.node, "matmul");
    const ProductSize size{extent_at(problem, y, y.size() - 2, y.size() - 1), extent_at(problem, y, y.size() - 1, y.size()), depth_of(problem, fused)};
    std::vector<Config> out = blocking_configs(size, effort);
    if (effort == Effort::kHeuristic) return out;
    for (const int64_t packed : {0, 1}) out.push_back({{"packed_b", packed}});
    return out;
  }

  Result<Candidate> build(const Problem& problem, const Config& config) const override {
    const Fused fused = read_fused(problem.node, "matmul");
    const Anchor a = read_anchor(fused, problem.node);
    Candidate candidate;
    candidate.kernel = "cpu.matmul";
    if (a.trans_a) candidate.params.emplace_back("trans_a", int64_t{1});
    if (a.trans_b) candidate.params.emplace_back("trans_b", int64_t{1});
    if (a.alpha != 1) candidate.params.emplace_back("scale", a.alpha);
    fused.add_params(candidate.params);
    add_config(candidate.params, config);
    const int bias = bias_of(fused);
    candidate.inputs = {Operand::of(static_cast<size_t>(fused.anchor_inputs[0])), Operand::of(static_cast<size_t>(fused.anchor_inputs[1])),
                        bias >= 0 ? Operand::of(static_cast<size_t>(bias)) : Operand::absent()};
    return candidate;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, gemm, GemmTactic, MatmulTactic)

}  // namespace carnot::tactics
