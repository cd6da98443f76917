// SPDX-License-Identifier: Apache-2.0
#include "ops/reverse_sequence.hpp"

#include "ops/support_check.hpp"
#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {
Status check_axes(int64_t batch, int64_t time) {
  if (batch + time == 1 && (batch == 0 || batch == 1)) return {};
  return invalid("batch_axis is {} and time_axis {}; they must be 0 and 1 or 1 and 0", batch, time);
}
}  // namespace

Result<Facts> ReverseSequence::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_axes(batch_axis, time_axis));
  const Shape& x = ctx.shape(0);
  if (x.size() < 2) return invalid("input 0 ('x') must have rank 2 or more, got shape {}", to_string(x));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kI64));
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 1, x[static_cast<size_t>(batch_axis)], "the batch of 'x'"));
  return Facts{{ctx.dtype(0), x}};
}

Status ReverseSequence::evaluate(EvalCtx& ctx) const {
  const TensorView &x = ctx.in[0], &lengths = ctx.in[1];
  const auto b = static_cast<size_t>(batch_axis), t = static_cast<size_t>(time_axis);
  if (lengths.size() != x.dims[b])
    return invalid("input 1 ('sequence_lens') holds {} lengths for a batch of {}", lengths.size(), x.dims[b]);
  for (int64_t length : lengths.span<int64_t>())
    if (length < 0 || length > x.dims[t])
      return invalid("input 1 ('sequence_lens') holds {}, outside [0, {}]", length, x.dims[t]);
  int64_t inner = static_cast<int64_t>(dtype_size(x.dtype));
  for (size_t d = 2; d < x.rank(); ++d) inner *= x.dims[d];
  Dims index{0, 0};
  auto* to = ctx.out[0].as<char>();
  for (int64_t n = x.dims[0] * x.dims[1]; n-- > 0; to += inner) {
    Dims from = index;
    const int64_t length = lengths.as<int64_t>()[index[b]];
    if (from[t] < length) from[t] = length - 1 - from[t];
    if (inner > 0) std::memcpy(to, x.as<char>() + (from[0] * x.dims[1] + from[1]) * inner, static_cast<size_t>(inner));
    next_index(index, {x.dims[0], x.dims[1]});
  }
  return {};
}

CARNOT_DEFINE_OPS(reverse_sequence, ReverseSequence)

}  // namespace carnot::ops
