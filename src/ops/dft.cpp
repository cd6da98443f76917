// SPDX-License-Identifier: Apache-2.0
#include "ops/dft.hpp"

#include "ops/support_check.hpp"
#include "ops/support_fourier.hpp"

namespace carnot::ops {

namespace {
// Lengths beyond this are a mistake, not a signal; the sum takes length^2 steps.
constexpr int64_t kMaxLength = int64_t{1} << 24;

Result<int64_t> signal_axis(int64_t axis, size_t rank) {
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, rank));
  if (a + 1 == static_cast<int64_t>(rank))
    return invalid("axis {} is the one that holds real and imaginary part", axis);
  return a;
}
}  // namespace

Result<Facts> Dft::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  const Shape& x = ctx.shape(0);
  if (x.size() < 2) return invalid("{} must have rank 2 or more, got shape {}", operand(info, 0), to_string(x));
  const bool to_real = inverse && onesided;
  if (x.back().is_constant() &&
      (x.back().value() < 1 || x.back().value() > 2 || (onesided && x.back().value() != (inverse ? 2 : 1))))
    return invalid("{} has shape {}: the last axis must be {}", operand(info, 0), to_string(x),
                   to_real    ? "2 (complex)"
                   : onesided ? "1 (real)"
                              : "1 (real) or 2 (complex)");
  for (size_t i : {1, 2})
    if (ctx.has(i) && !is_integer(ctx.dtype(i)))
      return invalid("{} must be an integer, got {}", operand(info, i), dtype_name(ctx.dtype(i)));
  Shape y = x;
  y.back() = to_real ? 1 : 2;
  std::optional<std::vector<int64_t>> axis = std::vector<int64_t>{-2};
  if (ctx.has(2)) axis = ctx.ints(2);
  if (!axis || axis->size() != 1) {
    for (size_t i = 0; i + 1 < y.size(); ++i) y[i] = ctx.fresh("dft");
    return Facts{{ctx.dtype(0), std::move(y)}};
  }
  CARNOT_ASSIGN(const int64_t a, signal_axis((*axis)[0], x.size()));
  Dim& extent = y[static_cast<size_t>(a)];
  Dim length = to_real ? (extent - 1) * 2 : extent;
  if (ctx.has(1)) {
    const auto given = ctx.values(1);
    length = given && given->size() == 1 ? (*given)[0] : ctx.fresh("dft_length");
  }
  if (length.is_constant() && (length.value() < 1 || length.value() > kMaxLength))
    return invalid("the length of the transform is {}, outside [1, {}]", length.str(), kMaxLength);
  extent = onesided && !inverse ? Dim::floordiv(length, 2) + 1 : length;
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status Dft::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  int64_t axis = -2;
  if (ctx.has(2)) {
    CARNOT_ASSIGN(const auto given, to_int64s(ctx.in[2]));
    if (given.size() != 1) return invalid("input 2 ('axis') must hold one number");
    axis = given[0];
  }
  CARNOT_ASSIGN(const int64_t a, signal_axis(axis, x.rank()));
  const bool to_real = inverse && onesided;
  const int64_t extent = x.dims[static_cast<size_t>(a)];
  int64_t length = to_real ? 2 * (extent - 1) : extent;
  if (ctx.has(1)) {
    CARNOT_ASSIGN(const auto given, to_int64s(ctx.in[1]));
    if (given.size() != 1) return invalid("input 1 ('dft_length') must hold one number");
    length = given[0];
  }
  if (length < 1 || length > kMaxLength)
    return invalid("the length of the transform is {}, outside [1, {}]", length, kMaxLength);
  Dims y_dims = x.dims;
  y_dims[static_cast<size_t>(a)] = onesided && !inverse ? length / 2 + 1 : length;
  y_dims.back() = to_real ? 1 : 2;
  CARNOT_RETURN_IF_ERROR(ctx.allocate(0, y_dims));

  CARNOT_ASSIGN(const auto in, to_doubles(x));
  const int64_t parts = x.dims.back(), out_parts = y_dims.back(), out_extent = y_dims[static_cast<size_t>(a)];
  AxisSplit s = split_at(x.dims, a);
  s.inner /= parts;
  std::vector<double> y(static_cast<size_t>(size_of(y_dims)));
  std::vector<std::complex<double>> signal(static_cast<size_t>(length));
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t i = 0; i < s.inner; ++i) {
      auto at = [&](int64_t k) -> std::complex<double> {
        const auto p = static_cast<size_t>(((o * extent + k) * s.inner + i) * parts);
        return {in[p], parts == 2 ? in[p + 1] : 0};
      };
      for (int64_t k = 0; k < length; ++k) {
        signal[static_cast<size_t>(k)] = k < extent ? at(k) : 0;
        // The half that a one-sided spectrum leaves out mirrors the other.
        if (to_real && k > length / 2)
          signal[static_cast<size_t>(k)] = length - k < extent ? std::conj(at(length - k)) : 0;
      }
      const auto spectrum = fourier(signal, inverse != 0);
      for (int64_t k = 0; k < out_extent; ++k) {
        const auto p = static_cast<size_t>(((o * out_extent + k) * s.inner + i) * out_parts);
        y[p] = spectrum[static_cast<size_t>(k)].real();
        if (out_parts == 2) y[p + 1] = spectrum[static_cast<size_t>(k)].imag();
      }
    }
  store(ctx.out[0], y);
  return {};
}

CARNOT_DEFINE_OPS(dft, Dft)

}  // namespace carnot::ops
