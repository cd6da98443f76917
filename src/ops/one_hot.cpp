// SPDX-License-Identifier: Apache-2.0
#include "ops/one_hot.hpp"

#include <cmath>

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
Result<int64_t> depth_of(const TensorView& depth) {
  CARNOT_ASSIGN(const std::vector<double> values, to_doubles(depth));
  if (values.size() != 1 || !(values[0] >= 1 && values[0] < 0x1p40))
    return invalid("input 1 ('depth') must hold one number from 1, got {}",
                   values.size() == 1 ? fmt::format("{}", values[0]) : to_string(depth.dims));
  return static_cast<int64_t>(values[0]);
}
}  // namespace

Result<Facts> OneHot::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, Dim(2), "off and on"));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.rank(0) + 1));
  Dim depth;
  if (const TensorView* known = ctx.constant(1)) {
    CARNOT_ASSIGN(const int64_t n, depth_of(*known));
    depth = Dim(n);
  } else if (auto values = ctx.values(1); values && values->size() == 1) {
    depth = (*values)[0];
  } else {
    depth = ctx.fresh("one_hot");
  }
  Shape shape = ctx.shape(0);
  shape.insert(shape.begin() + a, depth);
  return Facts{{ctx.dtype(2), std::move(shape)}};
}

Status OneHot::evaluate(EvalCtx& ctx) const {
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const std::vector<double> indices, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const int64_t depth, depth_of(ctx.in[1]));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, y.rank()));
  if (y.dims[static_cast<size_t>(a)] != depth)
    return invalid("input 1 ('depth') is {}, {} was expected", depth, y.dims[static_cast<size_t>(a)]);
  if (ctx.in[2].size() != 2) return invalid("input 2 ('values') must hold two elements, got {}", ctx.in[2].size());
  const AxisSplit s = split_at(y.dims, a);
  const size_t bytes = dtype_size(y.dtype);
  const auto *off = ctx.in[2].as<char>(), *on = off + bytes;
  auto* to = y.as<char>();
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t i = 0; i < s.inner; ++i, to += bytes) {
        const double index = std::trunc(indices[static_cast<size_t>(o * s.inner + i)]);
        const bool hit =
            index == static_cast<double>(k) || index + static_cast<double>(depth) == static_cast<double>(k);
        std::memcpy(to, hit ? on : off, bytes);
      }
  return {};
}

CARNOT_DEFINE_OPS(one_hot, OneHot)

}  // namespace carnot::ops
