// SPDX-License-Identifier: Apache-2.0
#include "ops/pad.hpp"

#include <algorithm>

#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {
template <typename T>
Result<std::vector<T>> spread(const std::vector<T>& pads, const std::vector<int64_t>& axes, size_t rank) {
  if (pads.size() != 2 * axes.size()) return invalid("input 1 ('pads') has {} entries, {} are needed for {} axes", pads.size(), 2 * axes.size(), axes.size());
  std::vector<T> all(2 * rank, T(0));
  for (size_t i = 0; i < axes.size(); ++i) {
    all[static_cast<size_t>(axes[i])] = pads[i];
    all[rank + static_cast<size_t>(axes[i])] = pads[axes.size() + i];
  }
  return all;
}

// Where element i of the padded axis comes from; -1: the constant.
int64_t source(int64_t i, int64_t before, int64_t n, const std::string& mode) {
  const int64_t at = i - before;
  if (at >= 0 && at < n) return at;
  if (mode == "edge") return std::clamp<int64_t>(at, 0, n - 1);
  if (mode == "wrap") return ((at % n) + n) % n;
  if (mode == "reflect") {
    if (n == 1) return 0;
    const int64_t period = 2 * (n - 1);
    const int64_t m = ((at % period) + period) % period;
    return m < n ? m : period - m;
  }
  return -1;
}
}  // namespace

Result<Facts> Pad::infer(const InferCtx& ctx) const {
  if (mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap")
    return invalid("mode '{}' is none of constant, reflect, edge, wrap", mode);
  const Shape& x = ctx.shape(0);
  ValueFacts out{ctx.dtype(0), {}};
  auto pads = ctx.values(1);
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (ctx.has(3)) {
    auto given = ctx.ints(3);
    if (given) {
      CARNOT_ASSIGN(axes, normalize_axes(*given, x.size(), 3));
    } else {
      pads.reset();
    }
  }
  if (!pads) {
    out.shape = fresh_shape(ctx, x.size(), "pad");
    return Facts{std::move(out)};
  }
  CARNOT_ASSIGN(const std::vector<Dim> all, spread(*pads, axes, x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    out.shape.push_back(x[i] + all[i] + all[x.size() + i]);
    if (out.shape[i].is_constant() && out.shape[i].value() < 0) return invalid("pads {} cut more than axis {} of size {} holds", to_string(*pads), i, x[i].str());
    if (mode != "constant" && x[i].is(0) && !out.shape[i].is(0)) return invalid("axis {} is empty and cannot be padded by mode '{}'", i, mode);
  }
  return Facts{std::move(out)};
}

Status Pad::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const std::vector<int64_t> given, to_int64s(ctx.in[1]));
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.rank(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (ctx.has(3)) {
    CARNOT_ASSIGN(const std::vector<int64_t> named, to_int64s(ctx.in[3]));
    CARNOT_ASSIGN(axes, normalize_axes(named, x.rank(), 3));
  }
  CARNOT_ASSIGN(const std::vector<int64_t> pads, spread(given, axes, x.rank()));
  const size_t bytes = dtype_size(x.dtype);
  std::vector<char> fill(bytes, 0);
  if (ctx.has(2) && ctx.in[2].size() > 0) {
    if (ctx.in[2].dtype != x.dtype) return invalid("input 2 ('value') holds {}, input 0 {}", dtype_name(ctx.in[2].dtype), dtype_name(x.dtype));
    std::memcpy(fill.data(), ctx.in[2].data, bytes);
  }
  std::vector<std::vector<int64_t>> from(x.rank());
  for (size_t a = 0; a < x.rank(); ++a) {
    if (y.dims[a] != x.dims[a] + pads[a] + pads[x.rank() + a]) return invalid("axis {} gives {} elements, {} were expected", a, x.dims[a] + pads[a] + pads[x.rank() + a], y.dims[a]);
    for (int64_t i = 0; i < y.dims[a]; ++i) from[a].push_back(source(i, pads[a], x.dims[a], mode));
  }
  const Dims strides = strides_of(x.dims);
  std::vector<int64_t> index(x.rank(), 0);
  auto* to = y.as<char>();
  for (int64_t n = y.size(); n-- > 0; to += bytes) {
    int64_t at = 0;
    bool inside = true;
    for (size_t a = 0; a < index.size(); ++a) {
      const int64_t s = from[a][static_cast<size_t>(index[a])];
      inside = inside && s >= 0;
      at += s * strides[a];
    }
    std::memcpy(to, inside ? x.as<char>() + static_cast<size_t>(at) * bytes : fill.data(), bytes);
    next_index(index, y.dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(pad, Pad)

}  // namespace carnot::ops
