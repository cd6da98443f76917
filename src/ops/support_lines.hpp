// SPDX-License-Identifier: Apache-2.0
// What the operators share that treat every line of elements along one attribute `axis` by itself (softmax and its
// kin).
#pragma once
#include "ops/support_check.hpp"

namespace carnot::ops {

// The elements along the axis at one place of the other axes.
struct Line {
  double* first;
  int64_t step, size;
  double& operator[](int64_t k) const { return first[k * step]; }
};

// The facts of `y`, which is like the floating-point input 0; op.axis must be one of its axes.
template <class Op>
Result<Facts> infer_lines(const Op& op, const InferCtx& ctx) {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, Op::info, 0));
  CARNOT_RETURN_IF_ERROR(normalize_axis(op.axis, ctx.rank(0)));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

// Output 0 = input 0 after f(Line) has rewritten each of its lines along `axis` in place.
template <class F>
Status evaluate_lines(EvalCtx& ctx, int64_t axis, F f) {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.in[0].rank()));
  const AxisSplit s = split_at(ctx.in[0].dims, a);
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t i = 0; i < s.inner; ++i) f(Line{y.data() + o * s.extent * s.inner + i, s.inner, s.extent});
  store(ctx.out[0], y);
  return {};
}

// The operator after a permutation of its input's axes; none if its axis is no axis of that rank.
template <class Op>
std::optional<Op> permuted_lines(const Op& op, const std::vector<int64_t>& perm) {
  const auto axis = permuted_axis(op.axis, perm);
  if (!axis) return std::nullopt;
  Op other = op;
  other.axis = *axis;
  return other;
}

}  // namespace carnot::ops
