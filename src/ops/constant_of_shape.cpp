// SPDX-License-Identifier: Apache-2.0
#include "ops/constant_of_shape.hpp"

#include <algorithm>

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> ConstantOfShape::infer(const InferCtx& ctx) const {
  ValueFacts out{dtype, {}};
  if (auto shape = ctx.values(0)) {
    for (const Dim& d : *shape)
      if (d.is_constant() && d.value() < 0) return invalid("input 0 ('shape') has the negative size {}", d.value());
    out.shape = *shape;
    if (is_integer(dtype) && is_static(out.shape)) {
      auto n = checked_size(to_dims(out.shape));
      if (n && *n <= kMaxTrackedValues) out.values = std::vector<Dim>(static_cast<size_t>(*n), Dim(ivalue));
    }
    return Facts{std::move(out)};
  }
  const auto rank = known_length(ctx, 0);
  if (!rank || *rank > 64) return invalid("input 0 ('shape') must be 1-D with a known length");
  out.shape = fresh_shape(ctx, static_cast<size_t>(*rank), "constant_of_shape");
  return Facts{std::move(out)};
}

Status ConstantOfShape::evaluate(EvalCtx& ctx) const {
  TensorView& y = ctx.out[0];
  dispatch_dtype(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T fill = is_float(y.dtype) ? static_cast<T>(value) : static_cast<T>(ivalue);
    std::fill_n(y.as<T>(), y.size(), fill);
  });
  return {};
}

CARNOT_DEFINE_OPS(constant_of_shape, ConstantOfShape)

}  // namespace carnot::ops
