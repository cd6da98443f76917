// SPDX-License-Identifier: Apache-2.0
#include "ops/arg_max.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {

template <typename Op>
Result<Facts> infer_place(const Op& op, const InferCtx& ctx) {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, Op::info, 0));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(op.axis, ctx.rank(0)));
  Shape shape = ctx.shape(0);
  if (shape[static_cast<size_t>(a)].is(0))
    return invalid("input 0 ('x') of shape {} is empty along axis {}", to_string(shape), a);
  if (op.keepdims)
    shape[static_cast<size_t>(a)] = Dim(1);
  else
    shape.erase(shape.begin() + a);
  return Facts{{DType::kI64, std::move(shape)}};
}

template <typename Op>
Status find_place(const Op& op, EvalCtx& ctx, bool largest) {
  const TensorView& x = ctx.in[0];
  CARNOT_ASSIGN(const int64_t a, normalize_axis(op.axis, x.rank()));
  const AxisSplit s = split_at(x.dims, a);
  if (s.extent == 0 && ctx.out[0].size() > 0)
    return invalid("input 0 ('x') of shape {} is empty along axis {}", to_string(x.dims), a);
  auto* y = ctx.out[0].as<int64_t>();
  dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t i = 0; i < s.inner; ++i) {
        const T* row = x.as<T>() + o * s.extent * s.inner + i;
        int64_t best = 0;
        for (int64_t k = 1; k < s.extent; ++k) {
          const T now = row[best * s.inner], next = row[k * s.inner];
          if (now != now) break;
          const bool better = next != next || (largest ? now < next : next < now);
          if (better || (op.select_last_index && next == now)) best = k;
        }
        *y++ = best;
      }
  });
  return {};
}

template <typename Op>
std::optional<Op> permute(const Op& op, const std::vector<int64_t>& perm) {
  const auto a = permuted_axis(op.axis, perm);
  if (!op.keepdims || !a) return std::nullopt;
  Op other = op;
  other.axis = *a;
  return other;
}

}  // namespace

Result<Facts> ArgMax::infer(const InferCtx& ctx) const { return infer_place(*this, ctx); }
Status ArgMax::evaluate(EvalCtx& ctx) const { return find_place(*this, ctx, true); }
std::optional<ArgMax> ArgMax::permuted(const std::vector<int64_t>& perm) const { return permute(*this, perm); }

Result<Facts> ArgMin::infer(const InferCtx& ctx) const { return infer_place(*this, ctx); }
Status ArgMin::evaluate(EvalCtx& ctx) const { return find_place(*this, ctx, false); }
std::optional<ArgMin> ArgMin::permuted(const std::vector<int64_t>& perm) const { return permute(*this, perm); }

CARNOT_DEFINE_OPS(arg_max, ArgMax, ArgMin)

}  // namespace carnot::ops
