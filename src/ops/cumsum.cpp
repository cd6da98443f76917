// SPDX-License-Identifier: Apache-2.0
#include "ops/cumsum.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
Result<int64_t> axis_of(const std::vector<int64_t>& axis, size_t rank) {
  if (axis.size() != 1) return invalid("input 1 ('axis') must hold one number, got {}", axis.size());
  auto a = normalize_axis(axis[0], rank);
  if (!a) return std::move(a.error()).within("input 1 ('axis')");
  return a;
}
template <typename Op>
Result<Facts> infer_running(const InferCtx& ctx) {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, Op::info, 0));
  if (!is_integer(ctx.dtype(1)))
    return invalid("input 1 ('axis') must be an integer, got {}", dtype_name(ctx.dtype(1)));
  if (auto axis = ctx.ints(1)) CARNOT_RETURN_IF_ERROR(axis_of(*axis, ctx.rank(0)));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

// combine(so far, next) from `start` on.
template <typename Op, typename Combine>
Status run(const Op& op, EvalCtx& ctx, int start, Combine&& combine) {
  const TensorView& x = ctx.in[0];
  CARNOT_ASSIGN(const std::vector<int64_t> given, to_int64s(ctx.in[1]));
  CARNOT_ASSIGN(const int64_t a, axis_of(given, x.rank()));
  const AxisSplit s = split_at(x.dims, a);
  auto run_rows = [&](auto tag) {
    using Wide = typename decltype(tag)::type;  // double, or uint64_t, which wraps as every integer type does
    dispatch_dtype(x.dtype, [&](auto element) {
      using T = typename decltype(element)::type;
      for (int64_t o = 0; o < s.outer; ++o)
        for (int64_t i = 0; i < s.inner; ++i) {
          const int64_t first = o * s.extent * s.inner + i;
          auto total = static_cast<Wide>(start);
          for (int64_t n = 0; n < s.extent; ++n) {
            const int64_t at = first + (op.reverse ? s.extent - 1 - n : n) * s.inner;
            const Wide next = combine(total, static_cast<Wide>(x.as<T>()[at]));
            ctx.out[0].as<T>()[at] = static_cast<T>(op.exclusive ? total : next);
            total = next;
          }
        }
    });
  };
  if (is_float(x.dtype))
    run_rows(TypeTag<double>{});
  else
    run_rows(TypeTag<uint64_t>{});
  return {};
}

}  // namespace

Result<Facts> CumSum::infer(const InferCtx& ctx) const { return infer_running<CumSum>(ctx); }
Status CumSum::evaluate(EvalCtx& ctx) const {
  return run(*this, ctx, 0, [](auto a, auto b) { return a + b; });
}

Result<Facts> CumProd::infer(const InferCtx& ctx) const { return infer_running<CumProd>(ctx); }
Status CumProd::evaluate(EvalCtx& ctx) const {
  return run(*this, ctx, 1, [](auto a, auto b) { return a * b; });
}

CARNOT_DEFINE_OPS(cumsum, CumSum, CumProd)

}  // namespace carnot::ops
