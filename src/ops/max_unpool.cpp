// SPDX-License-Identifier: Apache-2.0
#include "ops/max_unpool.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {

constexpr int64_t kMost = int64_t{1} << 31;

Status check(const MaxUnpool& op, size_t rank) {
  if (rank < 3) return invalid("input 0 ('x') must have shape [batch, channels, places...], its rank is {}", rank);
  auto fits = [](std::string_view name, const std::vector<int64_t>& list, size_t count, int64_t least,
                 bool optional) -> Status {
    if (optional && list.empty()) return {};
    if (list.size() != count) return invalid("attribute '{}' has {} entries, {} are needed", name, list.size(), count);
    for (int64_t v : list)
      if (v < least || v > kMost) return invalid("attribute '{}' holds {}", name, v);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(fits("kernel_shape", op.kernel_shape, rank - 2, 1, false));
  CARNOT_RETURN_IF_ERROR(fits("strides", op.strides, rank - 2, 1, true));
  return fits("pads", op.pads, 2 * (rank - 2), 0, true);
}

// The size that was pooled.
template <typename D>
std::vector<D> pooled_shape(const MaxUnpool& op, const std::vector<D>& x) {
  std::vector<D> out(x.begin(), x.begin() + 2);
  const size_t n = x.size() - 2;
  for (size_t i = 0; i < n; ++i) {
    const int64_t pad = op.pads.empty() ? 0 : op.pads[i] + op.pads[n + i];
    out.push_back((x[2 + i] - D(1)) * D(op.strides.empty() ? 1 : op.strides[i]) + D(op.kernel_shape[i] - pad));
  }
  return out;
}

}  // namespace

Result<Facts> MaxUnpool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check(*this, ctx.rank(0)));
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kI64));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, ctx.rank(0)));
  for (size_t d = 0; d < ctx.rank(0); ++d)
    CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, d, ctx.shape(0)[d], "as in 'x'"));
  ValueFacts out{ctx.dtype(0), pooled_shape(*this, ctx.shape(0))};
  if (ctx.has(2)) {
    CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 2, DType::kI64));
    CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, Dim(static_cast<int64_t>(ctx.rank(0))), "the rank of 'x'"));
    const auto given = ctx.values(2);
    for (size_t d = 0; d < out.shape.size(); ++d) out.shape[d] = given ? (*given)[d] : ctx.fresh("max_unpool");
  }
  for (const Dim& d : out.shape)
    if (d.is_constant() && d.value() < 0) return invalid("the result would have shape {}", to_string(out.shape));
  return Facts{std::move(out)};
}

Status MaxUnpool::evaluate(EvalCtx& ctx) const {
  const TensorView &x = ctx.in[0], &indices = ctx.in[1];
  TensorView& y = ctx.out[0];
  CARNOT_RETURN_IF_ERROR(check(*this, x.rank()));
  if (indices.dims != x.dims)
    return invalid("input 1 ('indices') has shape {}, input 0 ('x') {}", to_string(indices.dims), to_string(x.dims));
  const Dims pooled = pooled_shape(*this, x.dims);
  CARNOT_ASSIGN(const int64_t size, checked_size(pooled));
  const Dims strides = strides_of(pooled), to = strides_of(y.dims);
  const size_t bytes = dtype_size(x.dtype);
  if (y.bytes() > 0) std::memset(y.data, 0, y.bytes());
  for (int64_t n = 0; n < x.size(); ++n) {
    const int64_t place = indices.as<int64_t>()[n];
    if (place < 0 || place >= size) return invalid("input 1 ('indices') holds {}, outside [0, {})", place, size);
    int64_t at = 0;
    for (size_t d = 0; d < pooled.size(); ++d) {
      const int64_t i = place / strides[d] % pooled[d];
      if (i >= y.dims[d])
        return invalid("input 1 ('indices') holds {}, which lies outside the result of shape {}", place,
                       to_string(y.dims));
      at += i * to[d];
    }
    std::memcpy(y.as<char>() + static_cast<size_t>(at) * bytes, x.as<char>() + static_cast<size_t>(n) * bytes, bytes);
  }
  return {};
}

CARNOT_DEFINE_OPS(max_unpool, MaxUnpool)

}  // namespace carnot::ops
