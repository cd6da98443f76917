// SPDX-License-Identifier: Apache-2.0
#include "ops/slice.hpp"

#include <algorithm>
#include <limits>

#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {

constexpr int64_t kFar = int64_t{1} << 31;  // exporters write INT64_MAX or INT32_MAX for "to the end"

// Position p of a dim, counted from the front and clamped to [low, dim - high]; none if that cannot be said symbolically.
std::optional<Dim> clamp_position(const Dim& p, const Dim& dim, int64_t low, int64_t high) {
  if (p.is_constant()) {
    if (dim.is_constant()) {
      const int64_t n = dim.value();
      const int64_t at = p.value() < 0 ? (p.value() < -n ? -1 : p.value() + n) : p.value();
      return Dim(std::clamp(at, low, std::max(low, n - high)));
    }
    if (p.value() >= kFar) return dim - Dim(high);
    if (p.value() == 0 && high == 0) return Dim(0);
    if (p.value() >= 0) return Dim::min(p, dim - Dim(high));
    if (p.value() <= -kFar) return Dim(low);
    return Dim::max(dim + p, Dim(low));
  }
  // A symbolic position: shapes are not negative, so it counts from the front.
  const auto least = p.lower_bound();
  if (!least || *least < 0) {
    // "dim - k" may be negative for tiny dims only; python would then count from the end.
    return std::nullopt;
  }
  return p == dim ? dim - Dim(high) : Dim::min(p, dim - Dim(high));
}

struct Range {
  int64_t start = 0, step = 1, count = 0;
};

Range concrete_range(int64_t start, int64_t end, int64_t step, int64_t n) {
  step = std::max(step, -std::numeric_limits<int64_t>::max());  // so that -step is a number
  if (start < 0) start += n;
  if (end < 0) end += n;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, n);
    end = std::clamp<int64_t>(end, 0, n);
    return {start, step, end > start ? (end - start - 1) / step + 1 : 0};
  }
  start = std::clamp<int64_t>(start, -1, n - 1);
  end = std::clamp<int64_t>(end, -1, n - 1);
  return {start, step, start > end ? (start - end - 1) / -step + 1 : 0};
}

}  // namespace

Result<Facts> Slice::infer(const InferCtx& ctx) const {
  const Shape& x = ctx.shape(0);
  ValueFacts out{ctx.dtype(0), x};
  const auto count = known_length(ctx, 1);
  std::vector<int64_t> axes;
  if (ctx.has(3)) {
    auto given = ctx.ints(3);
    if (!given) {
      out.shape = fresh_shape(ctx, x.size(), "slice");
      return Facts{std::move(out)};
    }
    CARNOT_ASSIGN(axes, normalize_axes(*given, x.size(), 3));
  } else {
    if (!count) return invalid("input 1 ('starts') must be 1-D with a known length");
    if (*count > static_cast<int64_t>(x.size())) return invalid("input 1 ('starts') has {} entries, input 0 has rank {}", *count, x.size());
    for (int64_t a = 0; a < *count; ++a) axes.push_back(a);
  }
  const auto starts = ctx.values(1), ends = ctx.values(2);
  const auto steps = ctx.has(4) ? ctx.ints(4) : std::optional(std::vector<int64_t>(axes.size(), 1));
  if ((starts && starts->size() != axes.size()) || (ends && ends->size() != axes.size()) || (steps && steps->size() != axes.size()))
    return invalid("starts, ends, axes and steps must have the same length");
  for (size_t i = 0; i < axes.size(); ++i) {
    Dim& d = out.shape[static_cast<size_t>(axes[i])];
    if (steps && (*steps)[i] == 0) return invalid("input 4 ('steps') has a 0 for axis {}", axes[i]);
    std::optional<Dim> size;
    if (starts && ends && steps) {
      const Dim &start = (*starts)[i], &end = (*ends)[i];
      const int64_t step = (*steps)[i];
      if (start.is_constant() && end.is_constant() && d.is_constant()) {
        size = Dim(concrete_range(start.value(), end.value(), step, d.value()).count);
      } else {
        // Forward positions lie in [0, d], backward ones in [-1, d - 1].
        const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? 0 : 1;
        const auto from = clamp_position(start, d, low, high), to = clamp_position(end, d, low, high);
        if (from && to) {
          Dim length = step > 0 ? *to - *from : *from - *to;
          const auto least = length.lower_bound();
          if (!least || *least < 0) length = Dim::max(length, Dim(0));
          const bool one = step >= kFar || step <= -kFar;  // no tensor is as long as the step
          size = one ? Dim::min(length, Dim(1)) : Dim::ceildiv(length, Dim(step > 0 ? step : -step));
        }
      }
    }
    d = size ? *size : ctx.fresh("slice");
  }
  if (auto values = ctx.values(0); values && x.size() == 1 && axes.size() == 1 && starts && ends && steps && (*starts)[0].is_constant() && (*ends)[0].is_constant()) {
    const Range r = concrete_range((*starts)[0].value(), (*ends)[0].value(), (*steps)[0], static_cast<int64_t>(values->size()));
    std::vector<Dim> chosen;
    for (int64_t k = 0; k < r.count; ++k) chosen.push_back((*values)[static_cast<size_t>(r.start + k * r.step)]);
    out.values = std::move(chosen);
  }
  return Facts{std::move(out)};
}

Status Slice::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const std::vector<int64_t> starts, to_int64s(ctx.in[1]));
  CARNOT_ASSIGN(const std::vector<int64_t> ends, to_int64s(ctx.in[2]));
  std::vector<int64_t> axes, steps(starts.size(), 1);
  for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (ctx.has(3)) {
    CARNOT_ASSIGN(axes, to_int64s(ctx.in[3]));
  }
  if (ctx.has(4)) {
    CARNOT_ASSIGN(steps, to_int64s(ctx.in[4]));
  }
  CARNOT_ASSIGN(axes, normalize_axes(axes, x.rank(), 3));
  if (axes.size() != starts.size() || ends.size() != starts.size() || steps.size() != starts.size()) return invalid("starts, ends, axes and steps must have the same length");
  std::vector<Range> ranges;
  for (int64_t d : x.dims) ranges.push_back({0, 1, d});
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<size_t>(axes[i]);
    if (steps[i] == 0) return invalid("input 4 ('steps') has a 0 for axis {}", a);
    ranges[a] = concrete_range(starts[i], ends[i], steps[i], x.dims[a]);
  }
  for (size_t a = 0; a < ranges.size(); ++a)
    if (ranges[a].count != y.dims[a]) return invalid("axis {} gives {} elements, {} were expected", a, ranges[a].count, y.dims[a]);
  const Dims strides = strides_of(x.dims);
  const size_t bytes = dtype_size(x.dtype);
  std::vector<int64_t> index(x.rank(), 0);
  auto* to = y.as<char>();
  for (int64_t n = y.size(); n-- > 0; to += bytes) {
    int64_t at = 0;
    for (size_t a = 0; a < index.size(); ++a) at += (ranges[a].start + index[a] * ranges[a].step) * strides[a];
    std::memcpy(to, x.as<char>() + static_cast<size_t>(at) * bytes, bytes);
    next_index(index, y.dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(slice, Slice)

}  // namespace carnot::ops
