// SPDX-License-Identifier: Apache-2.0
// Makes the graph strongly typed as the user's precision says: y = f(x, w) => cast<f32>(f(cast<f16>(x), cast<f16>(w))), with adjacent
// inverse casts cancelled and those of weights folded. The network's inputs and outputs, and those of bodies, keep their types.
//
// By the network's type run convolutions and products, and what lies between them: element-wise work, pools and whatever moves elements
// takes the type that its operands have. Softmax, normalisations, reductions, functions that overflow soon, all that finds indices or
// coordinates, recurrences and control flow keep the model's type unless a rule names them. So does element-wise work whose constants
// the narrow type cannot hold (a mask of -3.4e38), and what is computed from it until a softmax or the like bounds it again.
// Where the device computes in f32 inside (PrecisionSettings::wide_inside), normalisations, softmax and means take a narrow operand as it is,
// and attention runs by the network's type; their scales, biases and masks keep the model's.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct SetPrecision {
  static constexpr std::string_view name = "set-precision";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
