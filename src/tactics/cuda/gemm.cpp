// SPDX-License-Identifier: Apache-2.0
// matmul and gemm with their epilogues on cuda.gemm (cuBLASLt).
#include "ops/gemm.hpp"

#include <cstring>

#include "ops/matmul.hpp"
#include "tactics/cuda/support_library.hpp"

namespace carnot::tactics {
namespace {

// The node as y = activation(scale * a @ b + bias + residual).
struct Product {
  bool trans_a = false, trans_b = false;
  double scale = 1;
  int bias = -1, residual = -1;              // places among the node's operands
  std::optional<Constant> bias_constant;     // made of a scalar, instead of `bias`
  Refusal refusal;
};

// gemm's third operand: a vector over the columns is a bias, a whole matrix a residual, one constant number a bias of equal elements.
Refusal read_addend(const Fused& fused, const ops::Gemm& gemm, Product& p) {
  const ir::Value* c = fused.anchor->in(2);
  const ir::Value* y = fused.anchor->out();
  if (fused.anchor_inputs[2] < 0) return "input 2 lies inside the group";
  if (gemm.beta != 1) return "beta is not 1";
  const Shape &have = c->shape(), &want = y->shape();
  const bool vector = !have.empty() && have.back() == want.back() && (have.size() == 1 || have[0].is(1));
  if (vector || (c->constant && c->constant->size() == 1 && want.back().is_constant())) {
    if (p.bias >= 0) return "a second bias";
    if (vector) {
      p.bias = fused.anchor_inputs[2];
      return {};
    }
    Constant filled = Constant::allocate(c->dtype(), {want.back().value()});
    const size_t element = dtype_size(c->dtype());
    for (int64_t i = 0; i < filled.size(); ++i) std::memcpy(static_cast<std::byte*>(filled.mutable_data()) + static_cast<size_t>(i) * element, c->constant->data, element);
    p.bias_constant = std::move(filled);
    return {};
  }
  if (have == want && p.residual < 0) {
    p.residual = fused.anchor_inputs[2];
    return {};
  }
  return "input 2 is neither a vector over the columns nor a whole matrix";
}

Product read_product(const Fused& fused, const ir::Node& node) {
  Product p;
  if (!fused.anchor) {
    p.refusal = "other operator";
    return p;
  }
  const auto* gemm = fused.anchor->as<ops::Gemm>();
  if (!gemm && !fused.anchor->as<ops::MatMul>()) {
    p.refusal = "other operator";
    return p;
  }
  p.refusal = fused.refusal;
  p.bias = fused.bias;
  p.residual = fused.residual;
  if (gemm) {
    p.trans_a = gemm->trans_a != 0;
    p.trans_b = gemm->trans_b != 0;
    p.scale = gemm->alpha;
    if (p.refusal.empty() && fused.anchor->has(2)) p.refusal = read_addend(fused, *gemm, p);
  }
  if (!p.refusal.empty()) return p;
  const ir::Value *a = fused.operand(node, 0), *b = fused.operand(node, 1);
  if (!a || !b) {
    p.refusal = "an operand lies inside the group";
  } else if (a->dtype() != b->dtype() || !(cuda::is_library_float(a->dtype()) || (a->dtype() == DType::kF64 && fused.anchor == &node && !fused.anchor->has(2)))) {
    p.refusal = "only f32, f16, bf16, and f64 without an epilogue";
  } else if (a->rank() == 0 || b->rank() == 0) {
    p.refusal = "an operand is a scalar";
  } else if (const Shape& s = a->shape(); s[s.size() - (p.trans_a && s.size() > 1 ? 2 : 1)].is(0)) {
    p.refusal = "a product over no elements";
  }
  return p;
}

class GemmTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.gemm"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& problem) const override { return read_product(read_fused(problem.node, "matmul"), problem.node).refusal; }

  Result<Candidate> build(const Problem& problem, const Config& config) const override {
    const Fused fused = read_fused(problem.node, "matmul");
    Product p = read_product(fused, problem.node);
    const ir::Value* b = fused.operand(problem.node, 1);
    Candidate candidate;
    candidate.kernel = "cuda.gemm";
    candidate.inputs = {cuda::operand_at(fused.anchor_inputs[0]), cuda::operand_at(fused.anchor_inputs[1]),
                        p.bias_constant ? Operand::packed(std::move(*p.bias_constant)) : cuda::operand_at(p.bias), cuda::operand_at(p.residual)};
    // With both operands' sums along their rows all tensor core kernels apply.
    if (b->constant && b->rank() == 2 && !p.trans_b && cuda::is_narrow(b->dtype())) {
      candidate.inputs[1] = Operand::packed(cuda::transposed(*b->constant, {1, 0}));
      p.trans_b = true;
    }
    if (p.trans_a) candidate.params.emplace_back("trans_a", int64_t{1});
    if (p.trans_b) candidate.params.emplace_back("trans_b", int64_t{1});
    if (p.scale != 1) candidate.params.emplace_back("scale", p.scale);
    fused.add_params(candidate.params);
    candidate.params.insert(candidate.params.end(), config.begin(), config.end());
    return candidate;
  }
};

}  // namespace

CARNOT_TACTICS(cuda, gemm, GemmTactic)

}  // namespace carnot::tactics
