// SPDX-License-Identifier: Apache-2.0
// Convolutions, and what lies between them, run with channels last:
//   f(x) => T'(f'(T(x)))     T: channels to the end, T': back, f' = f with permuted axes
// for f = conv, conv_transpose, pools and resize always, and for element-wise operators, concat, pad, slice, split, softmax, reductions,
// normalizations where their operands come out of T' anyway. Constants are permuted now. T of T' cancels, so that transposes stay
// at the edges of the convolutional part alone; the model's own transposes to and from channels-last become free.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct ChannelsLast {
  static constexpr std::string_view name = "channels-last";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
