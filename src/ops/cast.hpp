// SPDX-License-Identifier: Apache-2.0
// out[i] = x[i] as another dtype. To integers: towards zero, then the low bits; out of range saturates at 64 bits and NaN gives 0 (ONNX
// leaves both open). To bool: not equal 0. Strings read and print numbers. Source: ONNX Cast 6, 9, 13, 19.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Cast {
  static constexpr OpInfo info{.name = "cast", .inputs = {"x"}, .onnx = {{"Cast", 6}}, .pointwise = true};
  DType to = DType::kF32;
  int64_t saturate = 1;           // of 8-bit floats, which are no dtype here
  std::string round_mode = "up";  // likewise
  static constexpr auto fields() {
    return std::tuple{required_field("to", &Cast::to), field("saturate", &Cast::saturate), field("round_mode", &Cast::round_mode)};
  }
  bool operator==(const Cast&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Cast> permuted(const std::vector<int64_t>&) const { return *this; }
};

}  // namespace carnot::ops
