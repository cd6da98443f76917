// SPDX-License-Identifier: Apache-2.0
#include "ops/cumsum.hpp"

#include "ops/support_check.hpp"
#include "ops/support_elements.hpp"

namespace carnot::ops {

namespace {
Result<int64_t> axis_of(const std::vector<int64_t>& axis, size_t rank) {
  if (axis.size() != 1) return invalid("input 1 ('axis') must hold one number, got {}", axis.size());
  auto a = normalize_axis(axis[0], rank);
  if (!a) return std::move(a.error()).within("input 1 ('axis')");
  return a;
}
}  // namespace

Result<Facts> CumSum::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  if (!is_integer(ctx.dtype(1)))
    return invalid("input 1 ('axis') must be an integer, got {}", dtype_name(ctx.dtype(1)));
  if (auto axis = ctx.ints(1)) CARNOT_RETURN_IF_ERROR(axis_of(*axis, ctx.rank(0)));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status CumSum::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  CARNOT_ASSIGN(const std::vector<int64_t> given, to_int64s(ctx.in[1]));
  CARNOT_ASSIGN(const int64_t a, axis_of(given, x.rank()));
  const AxisSplit s = split_at(x.dims, a);
  auto sum_rows = [&](auto tag) {
    using Sum = typename decltype(tag)::type;  // double, or uint64_t, which wraps as every integer type does
    dispatch_dtype(x.dtype, [&](auto element) {
      using T = typename decltype(element)::type;
      for (int64_t o = 0; o < s.outer; ++o)
        for (int64_t i = 0; i < s.inner; ++i) {
          const int64_t first = o * s.extent * s.inner + i;
          Sum sum{};
          for (int64_t n = 0; n < s.extent; ++n) {
            const int64_t at = first + (reverse ? s.extent - 1 - n : n) * s.inner;
            const auto term = static_cast<Sum>(x.as<T>()[at]);
            if (!exclusive) sum += term;
            ctx.out[0].as<T>()[at] = static_cast<T>(sum);
            if (exclusive) sum += term;
          }
        }
    });
  };
  if (is_float(x.dtype))
    sum_rows(TypeTag<double>{});
  else
    sum_rows(TypeTag<uint64_t>{});
  return {};
}

CARNOT_DEFINE_OPS(cumsum, CumSum)

}  // namespace carnot::ops
