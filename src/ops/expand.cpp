// SPDX-License-Identifier: Apache-2.0
#include "ops/expand.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Expand::infer(const InferCtx& ctx) const {
  ValueFacts out{ctx.dtype(0), {}};
  if (auto shape = ctx.values(1)) {
    for (const Dim& d : *shape)
      if (d.is_constant() && d.value() < 0) return invalid("input 1 ('shape') has the negative size {}", d.value());
    CARNOT_ASSIGN(out.shape, broadcast(ctx.shape(0), *shape));
    if (auto values = ctx.values(0); values && values->size() == 1 && is_static(out.shape)) {
      auto n = checked_size(to_dims(out.shape));
      if (n && *n <= kMaxTrackedValues) out.values = std::vector<Dim>(static_cast<size_t>(*n), (*values)[0]);
    }
    return Facts{std::move(out)};
  }
  const auto length = known_length(ctx, 1);
  if (!length || *length > 64) return invalid("input 1 ('shape') must be 1-D with a known length");
  out.shape = fresh_shape(ctx, std::max(ctx.rank(0), static_cast<size_t>(*length)), "expand");
  return Facts{std::move(out)};
}

Status Expand::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  const Dims strides = strides_of(x.dims);
  const size_t bytes = dtype_size(x.dtype), skip = y.rank() - x.rank();
  std::vector<int64_t> index(y.rank(), 0);
  auto* to = y.as<char>();
  for (int64_t n = y.size(); n-- > 0; to += bytes) {
    int64_t at = 0;
    for (size_t i = 0; i < x.rank(); ++i) at += x.dims[i] == 1 ? 0 : index[skip + i] * strides[i];
    std::memcpy(to, x.as<char>() + static_cast<size_t>(at) * bytes, bytes);
    next_index(index, y.dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(expand, Expand)

}  // namespace carnot::ops
