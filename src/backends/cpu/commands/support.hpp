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
      CARNOT_RETURN_IF_ERROR(expect_f32(args.in[bias + 1], "the residual"));
      if (args.in[bias + 1].dims != args.out[0].dims)
        return invalid("the residual has shape {}, the result {}", to_string(args.in[bias + 1].dims), to_string(args.out[0].dims));
      e.residual = args.in[bias + 1].as<float>();
      e.ld_residual = columns;
    }
    return e;
  }

 private:
  Epilogue epilogue_;
};

}  // namespace carnot::cpu
