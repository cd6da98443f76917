// SPDX-License-Identifier: Apache-2.0
#include "ops/clip.hpp"

#include "base/pointwise_scalar.hpp"
#include "ops/support_elements.hpp"

namespace carnot::ops {

Result<Facts> Clip::infer(const InferCtx& ctx) const {
  const DType dtype = ctx.dtype(0);
  if (!is_float(dtype) && !is_integer(dtype)) return invalid("input 0 ('x') may not be {}", dtype_name(dtype));
  for (size_t i = 1; i < 3; ++i) {
    if (!ctx.has(i)) continue;
    if (ctx.dtype(i) != dtype)
      return invalid("input {} ('{}') must be {} like the first, got {}", i, i == 1 ? "min" : "max", dtype_name(dtype), dtype_name(ctx.dtype(i)));
    const Shape& shape = ctx.shape(i);
    if (shape.size() > 1 || (shape.size() == 1 && shape[0].is_constant() && !shape[0].is(1)))
      return invalid("input {} ('{}') must be a scalar, got shape {}", i, i == 1 ? "min" : "max", to_string(shape));
  }
  ValueFacts out{dtype, ctx.shape(0)};
  if (auto values = ctx.values(0); values && is_integer(dtype)) {
    for (size_t i = 1; i < 3 && values; ++i) {
      if (!ctx.has(i)) continue;
      auto bound = ctx.values(i);
      if (!bound || bound->size() != 1) {
        values.reset();
        break;
      }
      for (Dim& d : *values) d = i == 1 ? Dim::max(d, (*bound)[0]) : Dim::min(d, (*bound)[0]);
    }
    out.values = std::move(values);
  }
  return Facts{std::move(out)};
}

Status Clip::evaluate(EvalCtx& ctx) const {
  constexpr int64_t kBlock = 256;
  const TensorView& x = ctx.in[0];
  for (size_t i = 1; i < 3; ++i)
    if (ctx.has(i) && ctx.in[i].size() != 1) return invalid("input {} must hold one element, got {}", i, ctx.in[i].size());
  dispatch_compute(compute_type(x.dtype), [&](auto tag) {
    using C = typename decltype(tag)::type;
    C low{}, high{}, block[kBlock];
    if (ctx.has(1)) load_elements(x.dtype, ctx.in[1].data, 0, 1, 1, &low);
    if (ctx.has(2)) load_elements(x.dtype, ctx.in[2].data, 0, 1, 1, &high);
    for (int64_t i = 0, size = x.size(); i < size; i += kBlock) {
      const int64_t n = std::min(kBlock, size - i);
      load_elements(x.dtype, x.data, i, 1, n, block);
      for (int64_t j = 0; j < n; ++j) {
        if (ctx.has(1)) block[j] = pointwise_scalar::max(block[j], low);
        if (ctx.has(2)) block[j] = pointwise_scalar::min(block[j], high);
      }
      store_elements(block, n, ctx.out[0].dtype, ctx.out[0].data, i);
    }
  });
  return {};
}

CARNOT_DEFINE_OPS(clip, Clip)

}  // namespace carnot::ops
