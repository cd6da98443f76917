// SPDX-License-Identifier: Apache-2.0
// Attention on cuda.sdpa: cuDNN's fused attention in f16 and bf16, products around a softmax for the rest.
#include "ops/sdpa.hpp"

#include "tactics/cuda/support_library.hpp"

namespace carnot::tactics {
namespace {

// The library wants a head's rows or columns to adjoin.
bool adjoins(const std::string& layout) { return layout.back() == 'd' || layout.back() == 's'; }

class SdpaTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.sdpa"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& problem) const override {
    const auto* op = problem.node.as<ops::Sdpa>();
    if (!op) return "other operator";
    const DType type = problem.in(0).dtype;
    if (!cuda::is_library_float(type)) return "only f32, f16 and bf16";
    if (problem.in(1).dtype != type || problem.in(2).dtype != type) return "q, k and v differ in type";
    if (!adjoins(op->q_layout) || !adjoins(op->k_layout) || !adjoins(op->v_layout) || op->y_layout.back() != 'd') return "neither positions nor elements of a head adjoin";
    if (problem.node.has(3)) {
      const DType mask = problem.in(3).dtype;
      if (mask != type && mask != DType::kF32 && mask != DType::kBool) return fmt::format("a mask of {}", dtype_name(mask));
    }
    return {};
  }

  Result<Candidate> build(const Problem& problem, const Config& config) const override {
    Candidate candidate;
    candidate.kernel = "cuda.sdpa";
    candidate.params = problem.op().attrs();
    candidate.params.insert(candidate.params.end(), config.begin(), config.end());
    for (size_t i = 0; i < 4; ++i) candidate.inputs.push_back(problem.node.has(i) ? Operand::of(i) : Operand::absent());
    return candidate;
  }
};

}  // namespace

CARNOT_TACTICS(cuda, sdpa, SdpaTactic)

}  // namespace carnot::tactics
