// SPDX-License-Identifier: Apache-2.0
#include "ops/reshape.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Reshape::infer(const InferCtx& ctx) const {
  const Shape& x = ctx.shape(0);
  ValueFacts out{ctx.dtype(0), {}};
  auto wanted = ctx.values(1);
  if (!wanted) {
    const auto rank = known_length(ctx, 1);
    if (!rank) return invalid("input 1 ('shape') must be 1-D with a known length, got shape {}", to_string(ctx.shape(1)));
    if (*rank > 64) return invalid("input 1 ('shape') asks for rank {}", *rank);
    out.shape = fresh_shape(ctx, static_cast<size_t>(*rank), "reshape");
    return Facts{std::move(out)};
  }
  std::optional<size_t> rest;
  Dim known(1);
  for (size_t i = 0; i < wanted->size(); ++i) {
    Dim d = (*wanted)[i];
    if (d.is(0) && !allowzero) {
      if (i >= x.size()) return invalid("input 1 ('shape') has a 0 at {}, but input 0 has rank {}", i, x.size());
      d = x[i];
    }
    if (d.is(-1)) {
      if (rest) return invalid("input 1 ('shape') has more than one -1: {}", to_string(*wanted));
      rest = i;
      out.shape.emplace_back(1);
      continue;
    }
    if (d.is_constant() && d.value() < 0) return invalid("input 1 ('shape') has a negative size: {}", to_string(*wanted));
    out.shape.push_back(d);
    known = known * d;
  }
  const Dim total = size_of(x);
  if (rest) {
    auto left = Dim::exact_div(total, known);
    if (!left && total.is_constant() && known.is_constant())
      return invalid("input 0 of shape {} cannot be reshaped to {}", to_string(x), to_string(*wanted));
    // Dims that cancel on both sides need not be divided.
    if (!left) left = Dim::floordiv(total, known);
    if (known.is(0)) return invalid("a -1 next to a 0 in input 1 ('shape') has no value: {}", to_string(*wanted));
    out.shape[*rest] = *left;
  } else if (total.is_constant() && known.is_constant() && !(total == known)) {
    return invalid("input 0 of shape {} holds {} elements and cannot be reshaped to {}", to_string(x), total.str(), to_string(*wanted));
  }
  out.values = ctx.values(0);
  return Facts{std::move(out)};
}

Status Reshape::evaluate(EvalCtx& ctx) const { return copy_bytes(ctx); }

CARNOT_DEFINE_OPS(reshape, Reshape)

}  // namespace carnot::ops
