// SPDX-License-Identifier: Apache-2.0
#include "ops/unsqueeze.hpp"

#include <algorithm>

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Unsqueeze::infer(const InferCtx& ctx) const {
  const Shape& x = ctx.shape(0);
  ValueFacts out{ctx.dtype(0), {}};
  auto given = ctx.ints(1);
  const auto count = given ? std::optional<int64_t>(static_cast<int64_t>(given->size())) : known_length(ctx, 1);
  if (!count || *count > 64) return invalid("input 1 ('axes') must be a short list of known length");
  const size_t rank = x.size() + static_cast<size_t>(*count);
  if (!given) {
    out.shape = fresh_shape(ctx, rank, "unsqueeze");
    return Facts{std::move(out)};
  }
  CARNOT_ASSIGN(const std::vector<int64_t> axes, normalize_axes(*given, rank, 1));
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) {
    const bool added = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    out.shape.push_back(added ? Dim(1) : x[next++]);
  }
  out.values = ctx.values(0);
  return Facts{std::move(out)};
}

Status Unsqueeze::evaluate(EvalCtx& ctx) const { return copy_bytes(ctx); }

CARNOT_DEFINE_OPS(unsqueeze, Unsqueeze)

}  // namespace carnot::ops
