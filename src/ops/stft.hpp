// SPDX-License-Identifier: Apache-2.0
// y[b,f] = DFT of window * x[b, f*frame_step ... + frame_length], for x [batch, length, 1] (real) or [batch, length, 2]
// (complex); onesided keeps the first frame_length/2+1 results. Source: ONNX STFT 17.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Stft {
  static constexpr OpInfo info{
      .name = "stft", .inputs = {"x", "frame_step", "window?", "frame_length?"}, .onnx = {{"STFT", 17}}};
  int64_t onesided = 1;
  static constexpr auto fields() { return std::tuple{field("onesided", &Stft::onesided)}; }
  bool operator==(const Stft&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
