// SPDX-License-Identifier: Apache-2.0
#include "ops/nonzero.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> NonZero::infer(const InferCtx& ctx) const {
  // A scalar counts as one element of one dim.
  const auto rank = static_cast<int64_t>(std::max<size_t>(1, ctx.rank(0)));
  return Facts{{DType::kI64, {Dim(rank), ctx.fresh("nonzero")}}};
}

Status NonZero::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  std::vector<int64_t> found;
  dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < x.size(); ++i)
      if (x.as<T>()[i] != T(0)) found.push_back(i);
  });
  const Dims dims = x.rank() == 0 ? Dims{1} : x.dims;
  const auto count = static_cast<int64_t>(found.size());
  CARNOT_RETURN_IF_ERROR(ctx.allocate(0, {static_cast<int64_t>(dims.size()), count}));
  const Dims strides = strides_of(dims);
  auto* y = ctx.out[0].as<int64_t>();
  for (size_t d = 0; d < dims.size(); ++d)
    for (int64_t n = 0; n < count; ++n) y[static_cast<int64_t>(d) * count + n] = found[static_cast<size_t>(n)] / strides[d] % dims[d];
  return {};
}

CARNOT_DEFINE_OPS(nonzero, NonZero)

}  // namespace carnot::ops
