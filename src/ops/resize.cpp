// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {

Status check_modes(const Resize& r) {
  auto one_of = [](std::string_view name, const std::string& value, std::initializer_list<std::string_view> known) -> Status {
    if (std::find(known.begin(), known.end(), value) != known.end()) return {};
    return invalid("attribute '{}' has the unknown value '{}'", name, value);
  };
  CARNOT_RETURN_IF_ERROR(one_of("mode", r.mode, {"nearest", "linear", "cubic"}));
  CARNOT_RETURN_IF_ERROR(one_of("nearest_mode", r.nearest_mode, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}));
  CARNOT_RETURN_IF_ERROR(one_of("keep_aspect_ratio_policy", r.keep_aspect_ratio_policy, {"stretch", "not_larger", "not_smaller"}));
  return one_of("coordinate_transformation_mode", r.coordinate_transformation_mode,
                {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"});
}

Result<std::vector<int64_t>> resized_axes(const Resize& r, size_t rank) {
  if (!r.axes.empty()) return normalize_axes(r.axes, rank, 0);
  std::vector<int64_t> all;
  for (size_t i = 0; i < rank; ++i) all.push_back(static_cast<int64_t>(i));
  return all;
}

struct Plan {
  Dims out;
  std::vector<double> scales;  // by axis of x
};

// Output dims and scales from concrete operands. Sizes win when both are there (a caller gives one of them).
Result<Plan> plan_of(const Resize& r, const Dims& x, const std::vector<double>& scales, const std::vector<int64_t>& sizes, const std::vector<double>& roi) {
  CARNOT_ASSIGN(const std::vector<int64_t> axes, resized_axes(r, x.size()));
  Plan plan{x, std::vector<double>(x.size(), 1.0)};
  if (!sizes.empty()) {
    if (sizes.size() != axes.size()) return invalid("input 3 ('sizes') has {} entries for {} axes", sizes.size(), axes.size());
    std::vector<double> ratio;
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t n = x[static_cast<size_t>(axes[i])];
      if (sizes[i] < 0 || n <= 0) return invalid("input 3 ('sizes') has {} for axis {} of size {}", sizes[i], axes[i], n);
      ratio.push_back(static_cast<double>(sizes[i]) / static_cast<double>(n));
    }
    if (r.keep_aspect_ratio_policy != "stretch") {
      const double same = r.keep_aspect_ratio_policy == "not_larger" ? *std::min_element(ratio.begin(), ratio.end()) : *std::max_element(ratio.begin(), ratio.end());
      for (size_t i = 0; i < axes.size(); ++i) {
        const auto a = static_cast<size_t>(axes[i]);
        plan.scales[a] = same;
        plan.out[a] = std::llround(same * static_cast<double>(x[a]));
      }
      return plan;
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      plan.scales[static_cast<size_t>(axes[i])] = ratio[i];
      plan.out[static_cast<size_t>(axes[i])] = sizes[i];
    }
    return plan;
  }
  if (scales.size() != axes.size()) return invalid("input 2 ('scales') has {} entries for {} axes", scales.size(), axes.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<size_t>(axes[i]);
    if (!(scales[i] > 0) || scales[i] > 1e9) return invalid("input 2 ('scales') has {} for axis {}", scales[i], a);
    double extent = 1;
    if (r.coordinate_transformation_mode == "tf_crop_and_resize" && roi.size() == 2 * axes.size()) extent = roi[axes.size() + i] - roi[i];
    const double size = std::floor(static_cast<double>(x[a]) * extent * scales[i]);
    if (!(size >= 0 && size < 4e18)) return invalid("axis {} of size {} cannot be scaled by {}", a, x[a], scales[i]);
    plan.scales[a] = scales[i];
    plan.out[a] = static_cast<int64_t>(size);
  }
  return plan;
}

double coordinate(const std::string& mode, double o, double in, double out, double scale, double roi_start, double roi_end) {
  if (mode == "asymmetric") return o / scale;
  if (mode == "align_corners") return out == 1 ? 0 : o * (in - 1) / (in * scale - 1);
  if (mode == "pytorch_half_pixel") return out > 1 ? (o + 0.5) / scale - 0.5 : 0;
  if (mode == "tf_half_pixel_for_nn") return (o + 0.5) / scale;
  if (mode == "tf_crop_and_resize")
    return out > 1 ? roi_start * (in - 1) + o * (roi_end - roi_start) * (in - 1) / (out - 1) : 0.5 * (roi_start + roi_end) * (in - 1);
  if (mode == "half_pixel_symmetric") {
    const double adjustment = out / (scale * in);
    return in / 2 * (1 - adjustment) + (o + 0.5) / scale - 0.5;
  }
  return (o + 0.5) / scale - 0.5;
}

double cubic(double d, double a) {
  d = std::abs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

int64_t nearest(const std::string& mode, double x) {
  if (mode == "floor") return static_cast<int64_t>(std::floor(x));
  if (mode == "ceil") return static_cast<int64_t>(std::ceil(x));
  if (mode == "round_prefer_ceil") return static_cast<int64_t>(std::floor(x + 0.5));
  return static_cast<int64_t>(std::ceil(x - 0.5));
}

std::vector<double> doubles_or_empty(EvalCtx& ctx, size_t i) {
  if (!ctx.has(i)) return {};
  auto values = to_doubles(ctx.in[i]);
  return values ? std::move(*values) : std::vector<double>();
}

}  // namespace

Resize::Axis Resize::axis_table(int64_t in, int64_t out, double scale, double roi_start, double roi_end) const {
  Axis table;
  const bool crop = coordinate_transformation_mode == "tf_crop_and_resize";
  // Antialiasing widens the filter when shrinking.
  const double stretch = antialias && scale < 1 ? 1 / scale : 1;
  const double support = mode == "linear" ? stretch : mode == "cubic" ? 2 * stretch : 0;
  table.taps = mode == "nearest" ? 1 : stretch > 1 ? 2 * static_cast<int64_t>(std::ceil(support)) + 1 : mode == "linear" ? 2 : 4;
  for (int64_t o = 0; o < out; ++o) {
    const double x = coordinate(coordinate_transformation_mode, static_cast<double>(o), static_cast<double>(in), static_cast<double>(out), scale, roi_start, roi_end);
    if (crop) table.outside.push_back(x < 0 || x > static_cast<double>(in - 1));
    if (mode == "nearest") {
      table.index.push_back(std::clamp<int64_t>(nearest(nearest_mode, x), 0, in - 1));
      continue;
    }
    const auto first = static_cast<int64_t>(stretch > 1 ? std::floor(x - support) : std::floor(x) - (mode == "cubic" ? 1 : 0));
    double sum = 0;
    std::vector<double> weights;
    for (int64_t t = 0; t < table.taps; ++t) {
      const double d = (static_cast<double>(first + t) - x) / stretch;
      double w = mode == "linear" ? std::max(0.0, 1 - std::abs(d)) : cubic(d, cubic_coeff_a);
      if ((exclude_outside || stretch > 1) && (first + t < 0 || first + t >= in) && exclude_outside) w = 0;
      weights.push_back(w);
      sum += w;
      table.index.push_back(std::clamp<int64_t>(first + t, 0, in - 1));
    }
    for (double w : weights) table.weight.push_back(static_cast<float>(sum != 0 && (stretch > 1 || exclude_outside) ? w / sum : w));
  }
  return table;
}

Result<Facts> Resize::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_modes(*this));
  const Shape& x = ctx.shape(0);
  CARNOT_ASSIGN(const std::vector<int64_t> axes_now, resized_axes(*this, x.size()));
  ValueFacts out{ctx.dtype(0), x};
  // An empty tensor counts as absent: exporters write one for the operand they do not use.
  auto given = [&](size_t i) { return ctx.has(i) && !(ctx.rank(i) == 1 && ctx.shape(i)[0].is(0)); };
  if (given(3)) {
    auto sizes = ctx.values(3);
    if (sizes && sizes->size() != axes_now.size()) return invalid("input 3 ('sizes') has {} entries for {} axes", sizes->size(), axes_now.size());
    if (sizes && is_static(*sizes) && is_static(x)) {
      CARNOT_ASSIGN(const Plan plan, plan_of(*this, to_dims(x), {}, to_dims(*sizes), {}));
      out.shape = to_shape(plan.out);
    } else {
      for (size_t i = 0; i < axes_now.size(); ++i)
        out.shape[static_cast<size_t>(axes_now[i])] = sizes && keep_aspect_ratio_policy == "stretch" ? (*sizes)[i] : ctx.fresh("resize");
    }
    return Facts{std::move(out)};
  }
  if (!given(2)) return invalid("either input 2 ('scales') or input 3 ('sizes') must be given");
  const TensorView* scales = ctx.constant(2);
  if (!scales) {
    for (int64_t a : axes_now) out.shape[static_cast<size_t>(a)] = ctx.fresh("resize");
    return Facts{std::move(out)};
  }
  CARNOT_ASSIGN(const std::vector<double> s, to_doubles(*scales));
  if (s.size() != axes_now.size()) return invalid("input 2 ('scales') has {} entries for {} axes", s.size(), axes_now.size());
  std::vector<double> roi;
  if (const TensorView* r = ctx.constant(1)) {
    CARNOT_ASSIGN(roi, to_doubles(*r));
  }
  if (is_static(x)) {
    CARNOT_ASSIGN(const Plan plan, plan_of(*this, to_dims(x), s, {}, roi));
    out.shape = to_shape(plan.out);
    return Facts{std::move(out)};
  }
  for (size_t i = 0; i < s.size(); ++i) {
    Dim& d = out.shape[static_cast<size_t>(axes_now[i])];
    if (!(s[i] > 0) || s[i] > 1e9) return invalid("input 2 ('scales') has {} for axis {}", s[i], axes_now[i]);
    const double inverse = 1 / s[i];
    if (d.is_constant())
      d = Dim(static_cast<int64_t>(std::floor(static_cast<double>(d.value()) * s[i])));
    else if (coordinate_transformation_mode != "tf_crop_and_resize" && s[i] == std::floor(s[i]))
      d = d * Dim(static_cast<int64_t>(s[i]));
    else if (coordinate_transformation_mode != "tf_crop_and_resize" && inverse == std::floor(inverse))
      d = Dim::floordiv(d, Dim(static_cast<int64_t>(inverse)));
    else
      d = ctx.fresh("resize");
  }
  return Facts{std::move(out)};
}

Status Resize::evaluate(EvalCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_modes(*this));
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  std::vector<int64_t> sizes;
  if (ctx.has(3)) {
    CARNOT_ASSIGN(sizes, to_int64s(ctx.in[3]));
  }
  const std::vector<double> roi = doubles_or_empty(ctx, 1);
  CARNOT_ASSIGN(const Plan plan, plan_of(*this, x.dims, doubles_or_empty(ctx, 2), sizes, roi));
  if (plan.out != y.dims) return invalid("the result has shape {}, {} was expected", to_string(plan.out), to_string(y.dims));
  CARNOT_ASSIGN(const std::vector<int64_t> axes_now, resized_axes(*this, x.rank()));
  if (y.size() == 0) return {};
  std::vector<Axis> tables(x.rank());
  for (size_t a = 0; a < x.rank(); ++a) {
    double start = 0, end = 1;
    for (size_t i = 0; i < axes_now.size(); ++i)
      if (static_cast<size_t>(axes_now[i]) == a && roi.size() == 2 * axes_now.size()) {
        start = roi[i];
        end = roi[axes_now.size() + i];
      }
    const bool resized = std::find(axes_now.begin(), axes_now.end(), static_cast<int64_t>(a)) != axes_now.end();
    if (resized && !(plan.scales[a] == 1 && plan.out[a] == x.dims[a] && coordinate_transformation_mode != "tf_crop_and_resize")) {
      tables[a] = axis_table(x.dims[a], y.dims[a], plan.scales[a], start, end);
    } else {
      for (int64_t i = 0; i < y.dims[a]; ++i) tables[a].index.push_back(i);
    }
  }
  const Dims strides = strides_of(x.dims);
  const bool known = dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<int64_t> index(x.rank(), 0);
    std::vector<int64_t> tap(x.rank(), 0);
    Dims taps;
    for (const Axis& t : tables) taps.push_back(t.taps);
    for (int64_t n = 0; n < y.size(); ++n, next_index(index, y.dims)) {
      bool outside = false;
      for (size_t a = 0; a < tables.size(); ++a) outside = outside || (!tables[a].outside.empty() && tables[a].outside[static_cast<size_t>(index[a])]);
      if (outside) {
        y.as<T>()[n] = static_cast<T>(extrapolation_value);
        continue;
      }
      double sum = 0;
      T exact{};
      do {
        int64_t at = 0;
        double w = 1;
        for (size_t a = 0; a < tables.size(); ++a) {
          const auto k = static_cast<size_t>(index[a] * tables[a].taps + tap[a]);
          at += tables[a].index[k] * strides[a];
          if (!tables[a].weight.empty()) w *= static_cast<double>(tables[a].weight[k]);
        }
        exact = x.as<T>()[at];
        sum += w * static_cast<double>(exact);
      } while (next_index(tap, taps));
      // Nearest moves values unchanged, whatever their type.
      if (mode == "nearest")
        y.as<T>()[n] = exact;
      else
        y.as<T>()[n] = static_cast<T>(is_float(x.dtype) ? sum : std::nearbyint(sum));
    }
  });
  if (!known) return invalid("input 0 of dtype {} cannot be resized", dtype_name(x.dtype));
  return {};
}

std::optional<Resize> Resize::permuted(const std::vector<int64_t>& perm) const {
  if (axes.empty()) return std::nullopt;
  Resize r = *this;
  for (int64_t& a : r.axes) {
    const int64_t at = a < 0 ? a + static_cast<int64_t>(perm.size()) : a;
    a = std::find(perm.begin(), perm.end(), at) - perm.begin();
  }
  return r;
}

CARNOT_DEFINE_OPS(resize, Resize)

}  // namespace carnot::ops
