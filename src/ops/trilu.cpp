// SPDX-License-Identifier: Apache-2.0
#include "ops/trilu.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> Trilu::infer(const InferCtx& ctx) const {
  if (ctx.rank(0) < 2) return invalid("input 0 ('x') must have rank 2 or more, got shape {}", to_string(ctx.shape(0)));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kI64));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status Trilu::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  int64_t k = 0;
  if (ctx.has(1)) {
    if (ctx.in[1].size() != 1)
      return invalid("input 1 ('k') must hold one number, got shape {}", to_string(ctx.in[1].dims));
    k = *ctx.in[1].as<int64_t>();
  }
  const int64_t rows = x.dims[x.rank() - 2], cols = x.dims[x.rank() - 1];
  const size_t bytes = dtype_size(x.dtype);
  const auto* from = x.as<char>();
  auto* to = ctx.out[0].as<char>();
  for (int64_t n = 0; n < x.size(); ++n, from += bytes, to += bytes) {
    const int64_t diagonal = n % cols - n / cols % rows;
    if (upper ? diagonal >= k : diagonal <= k)
      std::memcpy(to, from, bytes);
    else
      std::memset(to, 0, bytes);
  }
  return {};
}

CARNOT_DEFINE_OPS(trilu, Trilu)

}  // namespace carnot::ops
