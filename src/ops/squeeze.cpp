// SPDX-License-Identifier: Apache-2.0
#include "ops/squeeze.hpp"

#include <algorithm>

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Squeeze::infer(const InferCtx& ctx) const {
  const Shape& x = ctx.shape(0);
  ValueFacts out{ctx.dtype(0), {}};
  std::vector<int64_t> axes;
  if (ctx.has(1)) {
    auto given = ctx.ints(1);
    if (!given) {
      const auto count = known_length(ctx, 1);
      if (!count || *count > static_cast<int64_t>(x.size())) return invalid("input 1 ('axes') must be a short list of known length");
      out.shape = fresh_shape(ctx, x.size() - static_cast<size_t>(*count), "squeeze");
      return Facts{std::move(out)};
    }
    CARNOT_ASSIGN(axes, normalize_axes(*given, x.size(), 1));
    for (int64_t a : axes) {
      const Dim& d = x[static_cast<size_t>(a)];
      if (d.is_constant() && d.value() != 1) return invalid("input 0 of shape {} cannot lose axis {}: its size is {}, not 1", to_string(x), a, d.value());
    }
  } else {
    for (size_t i = 0; i < x.size(); ++i)
      if (x[i].is(1)) axes.push_back(static_cast<int64_t>(i));
  }
  for (size_t i = 0; i < x.size(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end()) out.shape.push_back(x[i]);
  out.values = ctx.values(0);
  return Facts{std::move(out)};
}

Status Squeeze::evaluate(EvalCtx& ctx) const { return copy_bytes(ctx); }

CARNOT_DEFINE_OPS(squeeze, Squeeze)

}  // namespace carnot::ops
