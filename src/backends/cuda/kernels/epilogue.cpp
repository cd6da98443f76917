// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/epilogue.hpp"

#include <algorithm>
#include <iterator>

namespace carnot::cuda {

Result<Epilogue> read_epilogue(const Attrs& params) {
  static constexpr std::string_view kNames[] = {"none",      "relu",         "leaky_relu", "sigmoid",    "silu", "tanh", "gelu",
                                                "gelu_tanh", "hard_sigmoid", "hard_swish", "quick_gelu", "clip"};
  Epilogue epilogue;
  const std::string name = attr_or<std::string>(params, "activation", "none");
  const auto* found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) return invalid("no activation is called '{}'", name);
  epilogue.activation = static_cast<Activation>(found - std::begin(kNames));
  epilogue.alpha = static_cast<float>(attr_or(params, "alpha", 0.0));
  epilogue.beta = static_cast<float>(attr_or(params, "beta", 0.0));
  epilogue.residual_after = attr_or<int64_t>(params, "residual_after", 0) != 0;
  return epilogue;
}

}  // namespace carnot::cuda
