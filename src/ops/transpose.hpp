// SPDX-License-Identifier: Apache-2.0
// y[i...] = x[...] with axis k of y being axis perm[k] of x; without perm the axes are reversed. Source: ONNX Transpose 1-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Transpose {
  static constexpr OpInfo info{.name = "transpose", .inputs = {"x"}, .onnx = {{"Transpose"}}};
  std::vector<int64_t> perm;
  static constexpr auto fields() { return std::tuple{field("perm", &Transpose::perm)}; }
  bool operator==(const Transpose&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  // The permutation for an input of this rank, checked.
  Result<std::vector<int64_t>> perm_for(size_t rank) const;
};

}  // namespace carnot::ops
