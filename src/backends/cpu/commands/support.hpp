// SPDX-License-Identifier: Apache-2.0
// What the commands share: checks of operands and the epilogue in an engine's words.
#pragma once
#include <array>
#include <string_view>

#include "backends/cpu/kernel.hpp"
#include "backends/cpu/kernels/gemm/epilogue.hpp"

namespace carnot::cpu {

inline Status expect_operands(std::string_view kernel, size_t inputs, size_t outputs, size_t least, size_t most, size_t wanted_outputs = 1) {
  if (inputs >= least && inputs <= most && outputs == wanted_outputs) return {};
  return fail(Code::kDataCorrupt, "kernel '{}' takes {} to {} operands and gives {}, the engine has {} and {}", kernel, least, most, wanted_outputs, inputs, outputs);
}

inline bool present(const KernelArgs& args, size_t i) { return i < args.in.size() && args.in[i].dtype != DType::kInvalid; }

inline Status expect_f32(const TensorView& view, std::string_view what) {
  if (view.dtype == DType::kF32) return {};
  return fail(Code::kDataCorrupt, "{} must be f32, got {}", what, dtype_name(view.dtype));
}

inline bool is_half(DType t) { return t == DType::kF16 || t == DType::kBF16; }

// Weights are f32, or of the operands' narrow type.
inline Status expect_weights(const TensorView& w, DType operands) {
  if (w.dtype == DType::kF32 || (is_half(operands) && w.dtype == operands)) return {};
  return fail(Code::kDataCorrupt, "the weights are {} beside operands of {}", dtype_name(w.dtype), dtype_name(operands));
}
// Operand and result of one type, f32, f16 or bf16.
inline Status expect_same_float(const TensorView& x, const TensorView& y) {
  if (x.dtype == y.dtype && (x.dtype == DType::kF32 || is_half(x.dtype))) return {};
  return fail(Code::kDataCorrupt, "the operand is {} and the result {}", dtype_name(x.dtype), dtype_name(y.dtype));
}

// Parameter blocking: panels, depth, rows and columns of the kernels' Blocking, each 0 where the kernel chooses itself; absent: all 0.
inline Result<Blocking> parse_blocking(const Attrs& params) {
  constexpr int64_t kMost = int64_t{1} << 24;
  const auto values = attr_or<std::vector<int64_t>>(params, "blocking", {0, 0, 0, 0});
  if (values.size() != 4) return fail(Code::kDataCorrupt, "parameter 'blocking' has {} entries instead of 4", values.size());
  for (const int64_t v : values)
    if (v < 0 || v > kMost) return fail(Code::kDataCorrupt, "parameter 'blocking' has {}", v);
  return Blocking{values[0], values[1], values[2], values[3]};
}

struct ActivationName {
  std::string_view name;
  Activation activation;
};
inline constexpr std::array<ActivationName, 12> kActivationNames{{{"none", Activation::kNone},
                                                                  {"relu", Activation::kRelu},
                                                                  {"clip", Activation::kClip},
                                                                  {"leaky_relu", Activation::kLeakyRelu},
                                                                  {"sigmoid", Activation::kSigmoid},
                                                                  {"silu", Activation::kSilu},
                                                                  {"hard_swish", Activation::kHardSwish},
                                                                  {"hard_sigmoid", Activation::kHardSigmoid},
                                                                  {"tanh", Activation::kTanh},
                                                                  {"gelu", Activation::kGeluErf},
                                                                  {"gelu_tanh", Activation::kGeluTanh},
                                                                  {"quick_gelu", Activation::kQuickGelu}}};

// Parameters: activation, alpha, beta, residual_after. Operands behind the anchor's own: bias at `bias`, residual right behind it; each
// may be absent.
class EpilogueParams {
 public:
  static Result<EpilogueParams> parse(const Attrs& params) {
    EpilogueParams p;
    const std::string name = attr_or<std::string>(params, "activation", "none");
    bool known = false;
    for (const ActivationName& row : kActivationNames)
      if (row.name == name) {
        p.epilogue_.activation = row.activation;
        known = true;
      }
    if (!known) return fail(Code::kDataCorrupt, "unknown activation '{}'", name);
    p.epilogue_.alpha = static_cast<float>(attr_or<double>(params, "alpha", 0.0));
    p.epilogue_.beta = static_cast<float>(attr_or<double>(params, "beta", 0.0));
    p.epilogue_.residual_after = attr_or<int64_t>(params, "residual_after", 0) != 0;
    return p;
  }
  // The epilogue of one run, checked against the output's columns and size.
  Result<Epilogue> bind(const KernelArgs& args, size_t bias, int64_t columns) const {
    Epilogue e = epilogue_;
    if (present(args, bias)) {
      CARNOT_RETURN_IF_ERROR(expect_f32(args.in[bias], "the bias"));
      if (args.in[bias].size() != columns) return fail(Code::kDataCorrupt, "the bias has {} elements for {} columns", args.in[bias].size(), columns);
      e.bias = args.in[bias].as<float>();
    }
    if (present(args, bias + 1)) {
      if (args.in[bias + 1].dtype != args.out[0].dtype)
        return fail(Code::kDataCorrupt, "the residual is {}, the result {}", dtype_name(args.in[bias + 1].dtype), dtype_name(args.out[0].dtype));
      if (args.in[bias + 1].dims != args.out[0].dims)
        return invalid("the residual has shape {}, the result {}", to_string(args.in[bias + 1].dims), to_string(args.out[0].dims));
      if (args.out[0].dtype == DType::kF32) e.residual = args.in[bias + 1].as<float>();
      e.ld_residual = args.in[bias + 1].row_pitch();
    }
    return e;
  }
  // A residual of f16 or bf16, which bind() checked and left out.
  static const uint16_t* half_residual(const KernelArgs& args, size_t bias) {
    return present(args, bias + 1) && is_half(args.out[0].dtype) ? args.in[bias + 1].as<uint16_t>() : nullptr;
  }

 private:
  Epilogue epilogue_;
};

}  // namespace carnot::cpu
