// SPDX-License-Identifier: Apache-2.0
#include "ops/center_crop_pad.hpp"

#include <numeric>

#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {
Result<std::vector<int64_t>> axes_of(const std::vector<int64_t>& axes, size_t rank) {
  if (!axes.empty()) return normalize_axes(axes, rank, 0);
  std::vector<int64_t> all(rank);
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}
}  // namespace

Result<Facts> CenterCropPad::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const std::vector<int64_t> named, axes_of(axes, ctx.rank(0)));
  if (!is_integer(ctx.dtype(1)))
    return invalid("input 1 ('shape') must be an integer tensor, got {}", dtype_name(ctx.dtype(1)));
  const auto sizes = ctx.values(1);
  if (sizes && sizes->size() != named.size())
    return invalid("input 1 ('shape') has {} entries for {} axes", sizes->size(), named.size());
  ValueFacts out{ctx.dtype(0), ctx.shape(0)};
  for (size_t i = 0; i < named.size(); ++i) {
    if (sizes && (*sizes)[i].is_constant() && (*sizes)[i].value() < 0)
      return invalid("input 1 ('shape') has the negative size {}", (*sizes)[i].value());
    out.shape[static_cast<size_t>(named[i])] = sizes ? (*sizes)[i] : ctx.fresh("center_crop_pad");
  }
  return Facts{std::move(out)};
}

Status CenterCropPad::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  // Place i of the result is place i + shift of x.
  std::vector<int64_t> shift;
  for (size_t d = 0; d < x.rank(); ++d) {
    const int64_t more = x.dims[d] - y.dims[d];
    shift.push_back(more / 2);  // towards zero: half of the padding, rounded down, too
  }
  const Dims strides = strides_of(x.dims);
  const size_t bytes = dtype_size(x.dtype);
  std::vector<int64_t> index(y.rank(), 0);
  auto* to = y.as<char>();
  for (int64_t n = y.size(); n-- > 0; to += bytes) {
    int64_t at = 0;
    bool inside = true;
    for (size_t d = 0; d < index.size(); ++d) {
      const int64_t place = index[d] + shift[d];
      inside = inside && place >= 0 && place < x.dims[d];
      at += place * strides[d];
    }
    if (inside)
      std::memcpy(to, x.as<char>() + static_cast<size_t>(at) * bytes, bytes);
    else
      std::memset(to, 0, bytes);
    next_index(index, y.dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(center_crop_pad, CenterCropPad)

}  // namespace carnot::ops
