// SPDX-License-Identifier: Apache-2.0
#include "ops/topk.hpp"

#include <algorithm>
#include <numeric>

namespace carnot::ops {

Result<Facts> TopK::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.rank(0)));
  Shape shape = ctx.shape(0);
  Dim& d = shape[static_cast<size_t>(a)];
  auto k = ctx.values(1);
  if (k && k->size() != 1) return invalid("input 1 ('k') must hold one number, got {}", k->size());
  if (k && (*k)[0].is_constant() && ((*k)[0].value() < 0 || (d.is_constant() && (*k)[0].value() > d.value())))
    return invalid("input 1 ('k') is {}, axis {} has size {}", (*k)[0].value(), a, d.str());
  d = k ? (*k)[0] : ctx.fresh("topk");
  return Facts{{ctx.dtype(0), shape}, {DType::kI64, shape}};
}

Status TopK::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  CARNOT_ASSIGN(const int64_t axis_at, normalize_axis(axis, x.rank()));
  if (!ctx.wants(0) && !ctx.wants(1)) return {};
  const auto a = static_cast<size_t>(axis_at);
  const int64_t n = x.dims[a], k = ctx.out[ctx.wants(0) ? 0 : 1].dims[a];
  if (k > n || k < 0) return invalid("input 1 ('k') is {}, axis {} has size {}", k, a, n);
  int64_t outer = 1, inner = 1;
  for (size_t d = 0; d < x.rank(); ++d) (d < a ? outer : inner) *= d == a ? 1 : x.dims[d];
  const bool known = dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<int64_t> order(static_cast<size_t>(n));
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const T* row = x.as<T>() + o * n * inner + i;
        std::iota(order.begin(), order.end(), int64_t{0});
        std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t p, int64_t q) {
          const T u = row[p * inner], v = row[q * inner];
          // NaN counts as larger than any number: without a place for it this would be no order.
          if (u != u || v != v) return (u != u) == (v != v) ? p < q : (u != u) == (largest != 0);
          if (u < v) return !largest;
          if (v < u) return largest != 0;
          return p < q;
        });
        for (int64_t j = 0; j < k; ++j) {
          const int64_t at = (o * k + j) * inner + i;
          if (ctx.wants(0)) ctx.out[0].as<T>()[at] = row[order[static_cast<size_t>(j)] * inner];
          if (ctx.wants(1)) ctx.out[1].as<int64_t>()[at] = order[static_cast<size_t>(j)];
        }
      }
  });
  if (!known) return invalid("input 0 of dtype {} cannot be sorted", dtype_name(x.dtype));
  return {};
}

CARNOT_DEFINE_OPS(topk, TopK)

}  // namespace carnot::ops
