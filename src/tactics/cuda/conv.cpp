// SPDX-License-Identifier: Apache-2.0
// Convolutions, plain and transposed, with their epilogues on cuda.conv and cuda.conv_transpose (cuDNN).
#include "ops/conv.hpp"

#include <algorithm>

#include "ops/conv_transpose.hpp"
#include "tactics/attributes.hpp"
#include "tactics/cuda/support_library.hpp"

namespace carnot::tactics {
namespace {

// cuDNN's gradient knows one padding for both ends; the other follows if it stays within a stride.
template <typename Op>
Refusal check_transposed(const Op& op, size_t n) {
  if (!op.output_shape.empty()) return "output_shape";
  const auto pads = filled(op.pads, 2 * n, 0), strides = filled(op.strides, n, 1), more = filled(op.output_padding, n, 0);
  for (size_t i = 0; i < n; ++i) {
    const int64_t rest = more[i] + pads[i] - pads[n + i];
    if (rest < 0 || rest >= strides[i]) return "pads that differ by more than a stride";
  }
  return {};
}

std::optional<std::vector<int64_t>> numbers(const Shape& shape) {
  std::vector<int64_t> out;
  for (const Dim& d : shape) {
    if (!d.is_constant()) return std::nullopt;
    out.push_back(d.value());
  }
  return out;
}

// Shapes that are known now let the kernel make its plan while the engine is loaded.
void foresee(const Problem& problem, const ir::Value& x, const Dims& w, bool bias, bool residual, Attrs& params) {
  const auto x_dims = numbers(x.shape()), y_dims = numbers(problem.out().shape);
  if (!x_dims || !y_dims) return;
  params.emplace_back("x_dims", *x_dims);
  params.emplace_back("w_dims", std::vector<int64_t>(w.begin(), w.end()));
  params.emplace_back("y_dims", *y_dims);
  params.emplace_back("dtype", x.dtype());
  if (bias) params.emplace_back("has_bias", int64_t{1});
  if (residual) params.emplace_back("has_residual", int64_t{1});
}

template <typename Op, bool kTransposed>
class ConvTactic final : public Tactic {
 public:
  std::string_view name() const override { return kTransposed ? "cuda.conv_transpose" : "cuda.conv"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& problem) const override {
    const Fused fused = read_fused(problem.node, "conv");
    if (!fused.anchor || !fused.anchor->as<Op>()) return "other operator";
    if (!fused.refusal.empty()) return fused.refusal;
    const Op& op = *fused.anchor->as<Op>();
    const ir::Value *x = fused.operand(problem.node, 0), *w = fused.operand(problem.node, 1);
    if (!x || !w) return "an operand lies inside the group";
    if (!cuda::is_library_float(x->dtype()) || w->dtype() != x->dtype()) return "only f32, f16 and bf16";
    if (!w->constant) return "the weights are computed at run time";
    if (w->constant->size() == 0) return "no channels";
    if (x->rank() < 3 || x->rank() > 5) return fmt::format("{} spatial axes", x->rank() - 2);
    if (op.layout != "nhwc") return "the layout is nchw";
    if (op.auto_pad != "NOTSET" && op.auto_pad != "VALID" && !op.auto_pad.empty()) return "SAME padding of a dynamic size";
    if (fused.bias >= 0) return "a second bias";
    if (fused.anchor_inputs.size() > 2 && fused.anchor->has(2)) {
      if (fused.anchor_inputs[2] < 0) return "the bias lies inside the group";
      if (fused.anchor->in(2)->dtype() != x->dtype()) return "a bias of another type";
    }
    if (std::any_of(op.pads.begin(), op.pads.end(), [](int64_t p) { return p < 0; })) return "negative pads";
    if constexpr (kTransposed) return check_transposed(op, x->rank() - 2);
    return {};
  }

  Result<Candidate> build(const Problem& problem, const Config& config) const override {
    const Fused fused = read_fused(problem.node, "conv");
    const Op& op = *fused.anchor->template as<Op>();
    const Constant& w = *fused.operand(problem.node, 1)->constant;
    const size_t n = w.dims.size() - 2;
    // The channels of the sum come last.
    std::vector<int64_t> axes{0};
    for (size_t i = 0; i < n; ++i) axes.push_back(static_cast<int64_t>(i) + 2);
    axes.push_back(1);
    Candidate candidate;
    candidate.kernel = std::string(name());
    candidate.params = {{"groups", op.group},
                        {"kernel", std::vector<int64_t>(w.dims.begin() + 2, w.dims.end())},
                        {"strides", filled(op.strides, n, 1)},
                        {"dilations", filled(op.dilations, n, 1)},
                        {"pads", filled(op.auto_pad == "VALID" ? std::vector<int64_t>{} : op.pads, 2 * n, 0)}};
    fused.add_params(candidate.params);
    candidate.params.insert(candidate.params.end(), config.begin(), config.end());
    const int bias = fused.anchor_inputs.size() > 2 ? fused.anchor_inputs[2] : -1;
    Constant packed = cuda::transposed(w, axes);
    foresee(problem, *fused.operand(problem.node, 0), packed.dims, bias >= 0, fused.residual >= 0, candidate.params);
    candidate.inputs = {cuda::operand_at(fused.anchor_inputs[0]), Operand::packed(std::move(packed)), cuda::operand_at(bias), cuda::operand_at(fused.residual)};
    return candidate;
  }
};

using ConvForward = ConvTactic<ops::Conv, false>;
using ConvTransposed = ConvTactic<ops::ConvTranspose, true>;

}  // namespace

CARNOT_TACTICS(cuda, conv, ConvForward, ConvTransposed)

}  // namespace carnot::tactics
