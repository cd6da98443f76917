// SPDX-License-Identifier: Apache-2.0
#include "ops/unique.hpp"

#include <algorithm>
#include <numeric>

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> Unique::infer(const InferCtx& ctx) const {
  if (!is_float(ctx.dtype(0)) && !is_integer(ctx.dtype(0)) && ctx.dtype(0) != DType::kBool)
    return fail(Code::kUnsupported, "input 0 ('x') of dtype {} cannot be compared", dtype_name(ctx.dtype(0)));
  const Dim found = ctx.fresh("unique");
  Shape shape{found};
  if (axis) {
    CARNOT_ASSIGN(const int64_t a, normalize_axis(*axis, ctx.rank(0)));
    shape = ctx.shape(0);
    shape[static_cast<size_t>(a)] = found;
  }
  const Dim all = axis
                      ? ctx.shape(0)[static_cast<size_t>(*axis < 0 ? *axis + static_cast<int64_t>(ctx.rank(0)) : *axis)]
                      : size_of(ctx.shape(0));
  return Facts{{ctx.dtype(0), std::move(shape)}, {DType::kI64, {found}}, {DType::kI64, {all}}, {DType::kI64, {found}}};
}

Status Unique::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  Dims dims{x.size()};
  int64_t a = 0;
  if (axis) {
    CARNOT_ASSIGN(a, normalize_axis(*axis, x.rank()));
    dims = x.dims;
  }
  const AxisSplit s = split_at(dims, a);
  std::vector<int64_t> order(static_cast<size_t>(s.extent));
  std::iota(order.begin(), order.end(), int64_t{0});
  // order: slices sorted, equal ones by place; class_of[i]: which of the distinct slices slice i is; first[k]: where
  // slice k first occurs.
  std::vector<int64_t> class_of(order.size()), first, counts;
  dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto compare = [&](int64_t p, int64_t q) {
      for (int64_t o = 0; o < s.outer; ++o)
        for (int64_t i = 0; i < s.inner; ++i) {
          const T u = x.as<T>()[(o * s.extent + p) * s.inner + i], v = x.as<T>()[(o * s.extent + q) * s.inner + i];
          const bool u_nan = u != u, v_nan = v != v;
          if (u_nan != v_nan) return u_nan ? 1 : -1;
          if (u < v) return -1;
          if (v < u) return 1;
        }
      return 0;
    };
    std::stable_sort(order.begin(), order.end(), [&](int64_t p, int64_t q) { return compare(p, q) < 0; });
    for (size_t n = 0; n < order.size(); ++n) {
      if (n == 0 || compare(order[n - 1], order[n]) != 0) {
        first.push_back(order[n]);
        counts.push_back(0);
      }
      ++counts.back();
      class_of[static_cast<size_t>(order[n])] = static_cast<int64_t>(first.size()) - 1;
    }
  });
  const size_t found = first.size();
  std::vector<int64_t> sequence(found), place(found);  // sequence[n]: the class that stands at n in the result
  std::iota(sequence.begin(), sequence.end(), int64_t{0});
  if (!sorted)
    std::sort(sequence.begin(), sequence.end(),
              [&](int64_t p, int64_t q) { return first[static_cast<size_t>(p)] < first[static_cast<size_t>(q)]; });
  for (size_t n = 0; n < found; ++n) place[static_cast<size_t>(sequence[n])] = static_cast<int64_t>(n);

  dims[static_cast<size_t>(a)] = static_cast<int64_t>(found);
  for (size_t i = 0; i < 4; ++i)
    if (ctx.wants(i))
      CARNOT_RETURN_IF_ERROR(ctx.allocate(i, i == 0 ? dims : Dims{i == 2 ? s.extent : static_cast<int64_t>(found)}));
  if (ctx.wants(0)) {
    const int64_t inner = s.inner * static_cast<int64_t>(dtype_size(x.dtype));
    auto* to = ctx.out[0].as<char>();
    for (int64_t o = 0; o < s.outer && inner > 0; ++o)
      for (int64_t k : sequence) {
        std::memcpy(to, x.as<char>() + (o * s.extent + first[static_cast<size_t>(k)]) * inner,
                    static_cast<size_t>(inner));
        to += inner;
      }
  }
  for (size_t n = 0; n < found; ++n) {
    const auto k = static_cast<size_t>(sequence[n]);
    if (ctx.wants(1)) ctx.out[1].as<int64_t>()[n] = first[k];
    if (ctx.wants(3)) ctx.out[3].as<int64_t>()[n] = counts[k];
  }
  if (ctx.wants(2))
    for (size_t i = 0; i < class_of.size(); ++i) ctx.out[2].as<int64_t>()[i] = place[static_cast<size_t>(class_of[i])];
  return {};
}

CARNOT_DEFINE_OPS(unique, Unique)

}  // namespace carnot::ops
