// SPDX-License-Identifier: Apache-2.0
#include "ops/gather_nd.hpp"

#include <algorithm>

namespace carnot::ops {

Result<Facts> GatherNd::infer(const InferCtx& ctx) const {
  const Shape &data = ctx.shape(0), &indices = ctx.shape(1);
  const auto q = static_cast<int64_t>(indices.size()), r = static_cast<int64_t>(data.size());
  if (ctx.dtype(1) != DType::kI64) return invalid("input 1 ('indices') must be i64, got {}", dtype_name(ctx.dtype(1)));
  if (batch_dims < 0 || batch_dims >= std::min(q, r) || q < 1 || r < 1) return invalid("batch_dims {} does not fit ranks {} and {}", batch_dims, r, q);
  if (!indices.back().is_constant()) return fail(Code::kUnsupported, "the last dim of input 1 ('indices') must be fixed, got {}", to_string(indices));
  const int64_t depth = indices.back().value();
  if (depth < 1 || depth > r - batch_dims) return invalid("input 1 ('indices') gives {} places, input 0 of shape {} has {} axes for them", depth, to_string(data), r - batch_dims);
  Shape out(indices.begin(), indices.end() - 1);
  out.insert(out.end(), data.begin() + batch_dims + depth, data.end());
  return Facts{{ctx.dtype(0), std::move(out)}};
}

Status GatherNd::evaluate(EvalCtx& ctx) const {
  const TensorView &data = ctx.in[0], &indices = ctx.in[1];
  const int64_t depth = indices.dims.back();
  const Dims strides = strides_of(data.dims);
  int64_t batches = 1, data_batch = 1, tuples = 1, inner = static_cast<int64_t>(dtype_size(data.dtype));
  const auto b = static_cast<size_t>(batch_dims);
  for (size_t d = 0; d < data.rank(); ++d) {
    if (d < b) {
      if (data.dims[d] != indices.dims[d]) return invalid("inputs 0 and 1 differ on batch axis {}: {} and {}", d, data.dims[d], indices.dims[d]);
      batches *= data.dims[d];
    } else {
      data_batch *= data.dims[d];
      if (d >= b + static_cast<size_t>(depth)) inner *= data.dims[d];
    }
  }
  for (size_t d = b; d + 1 < indices.rank(); ++d) tuples *= indices.dims[d];
  const auto bytes = static_cast<int64_t>(dtype_size(data.dtype));
  const auto* place = indices.as<int64_t>();
  auto* to = ctx.out[0].as<char>();
  for (int64_t batch = 0; batch < batches; ++batch)
    for (int64_t t = 0; t < tuples; ++t, place += depth, to += inner) {
      int64_t at = batch * data_batch;
      for (int64_t k = 0; k < depth; ++k) {
        const auto d = b + static_cast<size_t>(k);
        const int64_t p = place[k] < 0 ? place[k] + data.dims[d] : place[k];
        if (p < 0 || p >= data.dims[d]) return invalid("input 1 ('indices') holds {}, outside [{}, {})", place[k], -data.dims[d], data.dims[d]);
        at += p * strides[d];
      }
      if (inner > 0) std::memcpy(to, data.as<char>() + at * bytes, static_cast<size_t>(inner));
    }
  return {};
}

CARNOT_DEFINE_OPS(gather_nd, GatherNd)

}  // namespace carnot::ops
