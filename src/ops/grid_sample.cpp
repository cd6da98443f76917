// SPDX-License-Identifier: Apache-2.0
#include "ops/grid_sample.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_check.hpp"
#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {

constexpr double kFar = 1e9;  // further out than any element

// Folds p back into [low, high] at both ends.
double reflect(double p, double low, double high) {
  const double span = high - low;
  if (!(span > 0)) return low;
  double rest = std::fmod(p - low, 2 * span);
  if (rest < 0) rest += 2 * span;
  return low + (rest <= span ? rest : 2 * span - rest);
}

// The elements of one axis that a point reads, and their weights; -1 reads 0.
struct Taps {
  std::vector<int64_t> at;
  std::vector<double> weight;
};

Taps taps_of(const GridSample& op, double coordinate, int64_t n) {
  const auto size = static_cast<double>(n);
  const double low = op.align_corners ? 0 : -0.5, high = op.align_corners ? size - 1 : size - 0.5;
  double p = op.align_corners ? (coordinate + 1) / 2 * (size - 1) : ((coordinate + 1) * size - 1) / 2;
  p = std::isnan(p) ? -kFar : std::clamp(p, -kFar, kFar);
  if (op.mode == "nearest") p = std::nearbyint(p);
  if (p < low || p > high) {
    if (op.padding_mode == "border") p = std::clamp(p, 0.0, size - 1);
    if (op.padding_mode == "reflection") p = reflect(p, low, high);
  }
  Taps taps;
  auto add = [&](double place, double weight) {
    if (op.padding_mode == "zeros" && (place < 0 || place > size - 1)) {
      taps.at.push_back(-1);
    } else {
      if (op.padding_mode == "reflection") place = reflect(place, low, high);
      taps.at.push_back(static_cast<int64_t>(std::clamp(place, 0.0, size - 1)));
    }
    taps.weight.push_back(weight);
  };
  const double first = std::floor(p), t = p - first;
  if (op.mode == "nearest") {
    add(std::trunc(p), 1);
  } else if (op.mode == "linear") {
    add(first, 1 - t);
    add(first + 1, t);
  } else {
    // Cubic convolution with a = -0.75: the near and the far polynomial.
    constexpr double a = -0.75;
    auto near = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
    auto far = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
    add(first - 1, far(1 + t));
    add(first, near(t));
    add(first + 1, near(1 - t));
    add(first + 2, far(2 - t));
  }
  return taps;
}

}  // namespace

Result<Facts> GridSample::infer(const InferCtx& ctx) const {
  if (mode != "linear" && mode != "nearest" && mode != "cubic")
    return invalid("attribute 'mode' is '{}', none of linear, nearest, cubic", mode);
  if (padding_mode != "zeros" && padding_mode != "border" && padding_mode != "reflection")
    return invalid("attribute 'padding_mode' is '{}', none of zeros, border, reflection", padding_mode);
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 1));
  const Shape &x = ctx.shape(0), &grid = ctx.shape(1);
  if (x.size() < 3) return invalid("input 0 ('x') must have shape [batch, channels, places...], got {}", to_string(x));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, x.size()));
  CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, 0, x[0], "the batch of 'x'"));
  CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, x.size() - 1, Dim(static_cast<int64_t>(x.size()) - 2),
                                    "one coordinate for each spatial axis of 'x'"));
  Shape shape{x[0], x[1]};
  shape.insert(shape.end(), grid.begin() + 1, grid.end() - 1);
  return Facts{{ctx.dtype(0), std::move(shape)}};
}

Status GridSample::evaluate(EvalCtx& ctx) const {
  const TensorView &x = ctx.in[0], &grid = ctx.in[1];
  TensorView& y = ctx.out[0];
  const size_t spatial = x.rank() - 2;
  if (grid.rank() != x.rank() || grid.dims[0] != x.dims[0] || grid.dims.back() != static_cast<int64_t>(spatial))
    return invalid("input 1 ('grid') of shape {} does not fit input 0 ('x') of shape {}", to_string(grid.dims),
                   to_string(x.dims));
  const Dims places(x.dims.begin() + 2, x.dims.end());
  const int64_t plane = size_of(places), channels = x.dims[1];
  if (y.size() > 0 && plane == 0) return invalid("input 0 ('x') of shape {} has no places", to_string(x.dims));
  if (y.size() == 0) return {};
  const Dims strides = strides_of(places);
  CARNOT_ASSIGN(const std::vector<double> coordinates, to_doubles(grid));
  const int64_t points = y.size() / (y.dims[0] * channels);
  const bool known = dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<Taps> taps(spatial);
    Dims counts(spatial), tap(spatial, 0);
    for (int64_t n = 0; n < x.dims[0]; ++n)
      for (int64_t point = 0; point < points; ++point) {
        // The first coordinate belongs to the last axis.
        const double* place = coordinates.data() + (n * points + point) * static_cast<int64_t>(spatial);
        for (size_t a = 0; a < spatial; ++a) {
          taps[a] = taps_of(*this, place[spatial - 1 - a], places[a]);
          counts[a] = static_cast<int64_t>(taps[a].at.size());
        }
        for (int64_t c = 0; c < channels; ++c) {
          const T* from = x.as<T>() + (n * channels + c) * plane;
          double sum = 0;
          T exact{};
          do {
            int64_t at = 0;
            double weight = 1;
            bool inside = true;
            for (size_t a = 0; a < spatial; ++a) {
              const auto k = static_cast<size_t>(tap[a]);
              inside = inside && taps[a].at[k] >= 0;
              at += taps[a].at[k] * strides[a];
              weight *= taps[a].weight[k];
            }
            exact = inside ? from[at] : T(0);
            if (inside) sum += weight * static_cast<double>(exact);
          } while (next_index(tap, counts));
          // Nearest moves values unchanged, whatever their type.
          T& to = y.as<T>()[(n * channels + c) * points + point];
          to = mode == "nearest" ? exact : static_cast<T>(is_float(x.dtype) ? sum : std::nearbyint(sum));
        }
      }
  });
  if (!known) return invalid("input 0 ('x') of dtype {} cannot be sampled", dtype_name(x.dtype));
  return {};
}

CARNOT_DEFINE_OPS(grid_sample, GridSample)

}  // namespace carnot::ops
