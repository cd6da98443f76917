// SPDX-License-Identifier: Apache-2.0
#include "ops/transpose.hpp"

#include <fmt/ranges.h>

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<std::vector<int64_t>> Transpose::perm_for(size_t rank) const {
  std::vector<int64_t> p = perm;
  if (p.empty())
    for (size_t i = rank; i-- > 0;) p.push_back(static_cast<int64_t>(i));
  std::vector<bool> seen(rank, false);
  if (p.size() != rank) return invalid("perm [{}] has {} entries, input 0 has rank {}", fmt::join(p, ","), p.size(), rank);
  for (int64_t a : p) {
    if (a < 0 || a >= static_cast<int64_t>(rank) || seen[static_cast<size_t>(a)]) return invalid("perm [{}] is no permutation of 0..{}", fmt::join(p, ","), rank - 1);
    seen[static_cast<size_t>(a)] = true;
  }
  return p;
}

Result<Facts> Transpose::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const std::vector<int64_t> p, perm_for(ctx.rank(0)));
  ValueFacts out{ctx.dtype(0), {}};
  for (int64_t a : p) out.shape.push_back(ctx.shape(0)[static_cast<size_t>(a)]);
  if (p.size() <= 1) out.values = ctx.values(0);
  return Facts{std::move(out)};
}

Status Transpose::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  CARNOT_ASSIGN(const std::vector<int64_t> p, perm_for(x.rank()));
  const Dims strides = strides_of(x.dims);
  const size_t bytes = dtype_size(x.dtype);
  std::vector<int64_t> index(x.rank(), 0);
  auto* to = ctx.out[0].as<char>();
  for (int64_t n = x.size(); n-- > 0; to += bytes) {
    int64_t at = 0;
    for (size_t i = 0; i < index.size(); ++i) at += index[i] * strides[static_cast<size_t>(p[i])];
    std::memcpy(to, x.as<char>() + static_cast<size_t>(at) * bytes, bytes);
    next_index(index, ctx.out[0].dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(transpose, Transpose)

}  // namespace carnot::ops
