// SPDX-License-Identifier: Apache-2.0
// Discrete Fourier transform along `axis` (default -2) of x [..., 1] (real) or [..., 2] (real and imaginary part), cut
// or padded with zeros to dft_length. onesided: forward keeps the first length/2+1 results of a real signal; inverse
// takes those and gives a real signal. Source: ONNX DFT 20 (17 had the axis as an attribute).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Dft {
  static constexpr OpInfo info{.name = "dft", .inputs = {"x", "dft_length?", "axis?"}, .onnx = {{"DFT", 20}}};
  int64_t inverse = 0, onesided = 0;
  static constexpr auto fields() {
    return std::tuple{field("inverse", &Dft::inverse), field("onesided", &Dft::onesided)};
  }
  bool operator==(const Dft&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
