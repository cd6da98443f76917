// SPDX-License-Identifier: Apache-2.0
#include "ops/stft.hpp"

#include "ops/support_check.hpp"
#include "ops/support_fourier.hpp"

namespace carnot::ops {

Result<Facts> Stft::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 2));
  const Shape& x = ctx.shape(0);
  if (x.size() != 2 && x.size() != 3)
    return invalid("{} must be [batch, length, 1 or 2], got shape {}", operand(info, 0), to_string(x));
  if (x.size() == 3 && x[2].is_constant() && x[2].value() != 1 && x[2].value() != 2)
    return invalid("{} has shape {}: the last axis must be 1 (real) or 2 (complex)", operand(info, 0), to_string(x));
  if (onesided && x.size() == 3 && x[2].is(2))
    return invalid("{} is complex, whose spectrum is not onesided", operand(info, 0));
  if (ctx.has(2)) CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 2, 1));
  if (!ctx.has(2) && !ctx.has(3)) return invalid("'window' or 'frame_length' must be given");
  auto number = [&](size_t i) -> Dim {
    const auto values = ctx.values(i);
    return values && values->size() == 1 ? (*values)[0] : ctx.fresh("stft");
  };
  const Dim step = number(1), length = ctx.has(3) ? number(3) : ctx.shape(2)[0];
  if (step.is_constant() && step.value() < 1)
    return invalid("{} is {}; it must be positive", operand(info, 1), step.str());
  if (length.is_constant() && length.value() < 1)
    return invalid("the frame length is {}; it must be positive", length.str());
  if (ctx.has(2)) CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, length, "the frame length"));
  const Dim room = x[1] - length;
  if (room.is_constant() && room.value() < 0)
    return invalid("{} has {} samples, fewer than a frame of {}", operand(info, 0), x[1].str(), length.str());
  return Facts{
      {ctx.dtype(0), {x[0], Dim::floordiv(room, step) + 1, onesided ? Dim::floordiv(length, 2) + 1 : length, 2}}};
}

Status Stft::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  auto number = [&](size_t i) -> Result<int64_t> {
    CARNOT_ASSIGN(const auto values, to_int64s(ctx.in[i]));
    if (values.size() != 1 || values[0] < 1) return invalid("{} must hold one positive number", operand(info, i));
    return values[0];
  };
  CARNOT_ASSIGN(const int64_t step, number(1));
  int64_t length = ctx.has(2) ? ctx.in[2].dims[0] : 0;
  if (ctx.has(3)) {
    CARNOT_ASSIGN(length, number(3));
  }
  const int64_t batch = x.dims[0], samples = x.dims[1], parts = x.rank() == 3 ? x.dims[2] : 1;
  if (length < 1 || length > samples)
    return invalid("{} has {} samples, a frame {}", operand(info, 0), samples, length);
  const int64_t frames = (samples - length) / step + 1, bins = onesided ? length / 2 + 1 : length;
  CARNOT_RETURN_IF_ERROR(ctx.allocate(0, {batch, frames, bins, 2}));
  std::vector<double> window(static_cast<size_t>(length), 1.0);
  if (ctx.has(2)) {
    CARNOT_ASSIGN(window, to_doubles(ctx.in[2]));
  }
  CARNOT_ASSIGN(const auto in, to_doubles(x));
  std::vector<double> y;
  std::vector<std::complex<double>> frame(static_cast<size_t>(length));
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t f = 0; f < frames; ++f) {
      for (int64_t k = 0; k < length; ++k) {
        const auto p = static_cast<size_t>((b * samples + f * step + k) * parts);
        frame[static_cast<size_t>(k)] =
            std::complex<double>(in[p], parts == 2 ? in[p + 1] : 0) * window[static_cast<size_t>(k)];
      }
      const auto spectrum = fourier(frame, false);
      for (int64_t k = 0; k < bins; ++k) {
        y.push_back(spectrum[static_cast<size_t>(k)].real());
        y.push_back(spectrum[static_cast<size_t>(k)].imag());
      }
    }
  store(ctx.out[0], y);
  return {};
}

CARNOT_DEFINE_OPS(stft, Stft)

}  // namespace carnot::ops
