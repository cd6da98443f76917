// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/resize/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/resize/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(ResizeTable, resize_table, fill_resize_table)

Result<ResizeRule> ResizeRule::parse(std::string_view mode, std::string_view coordinates, std::string_view nearest) {
  constexpr std::string_view kModes[] = {"nearest", "linear", "cubic"};
  constexpr std::string_view kCoordinates[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"};
  constexpr std::string_view kNearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  auto find = [](const auto& names, std::string_view word) { return std::find(std::begin(names), std::end(names), word) - std::begin(names); };
  const auto m = find(kModes, mode), c = find(kCoordinates, coordinates), n = find(kNearest, nearest);
  if (m == 3) return fail(Code::kUnsupported, "resize mode '{}'", mode);
  if (c == 6) return fail(Code::kUnsupported, "resize coordinates '{}'", coordinates);
  if (n == 4) return fail(Code::kUnsupported, "resize nearest mode '{}'", nearest);
  ResizeRule rule;
  rule.mode = static_cast<Mode>(m);
  rule.coordinates = static_cast<Coordinates>(c);
  rule.nearest = static_cast<Nearest>(n);
  return rule;
}

namespace {
double source_of(const ResizeRule& rule, int64_t in, int64_t out, double scale, int64_t o) {
  const auto x = static_cast<double>(o);
  switch (rule.coordinates) {
    case ResizeRule::kHalfPixel: return (x + 0.5) / scale - 0.5;
    case ResizeRule::kHalfPixelSymmetric: {
      const double adjustment = static_cast<double>(out) / (scale * static_cast<double>(in));
      return static_cast<double>(in) / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5;
    }
    case ResizeRule::kPytorchHalfPixel: return out > 1 ? (x + 0.5) / scale - 0.5 : 0;
    // The length is in * scale, which need not be a whole number.
    case ResizeRule::kAlignCorners: return out > 1 ? x * static_cast<double>(in - 1) / (static_cast<double>(in) * scale - 1) : 0;
    case ResizeRule::kAsymmetric: return x / scale;
    case ResizeRule::kTfHalfPixelForNn: return (x + 0.5) / scale;
  }
  return 0;
}

double nearest_of(const ResizeRule& rule, double x) {
  switch (rule.nearest) {
    case ResizeRule::kRoundPreferFloor: return std::ceil(x - 0.5);
    case ResizeRule::kRoundPreferCeil: return std::floor(x + 0.5);
    case ResizeRule::kFloor: return std::floor(x);
    case ResizeRule::kCeil: return std::ceil(x);
  }
  return x;
}

// The filter at distance d from the source position.
double filter(const ResizeRule& rule, double d) {
  d = std::fabs(d);
  if (rule.mode == ResizeRule::kLinear) return std::max(0.0, 1 - d);
  const auto a = static_cast<double>(rule.cubic_a);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

// The filter is stretched when shrinking with antialias.
double stretch(const ResizeRule& rule, double scale) { return rule.antialias ? std::min(scale, 1.0) : 1.0; }

// Positions before the source's floor that the filter reaches (0 or negative).
int64_t first_tap(const ResizeRule& rule, double scale) {
  const double support = rule.mode == ResizeRule::kLinear ? 1 : 2;
  return static_cast<int64_t>(std::floor(-support / stretch(rule, scale))) + 1;
}
int taps_of(const ResizeRule& rule, double scale) {
  return rule.mode == ResizeRule::kNearest ? 1 : static_cast<int>(std::min<int64_t>(2 - 2 * first_tap(rule, scale), 1 << 20));
}
}  // namespace

size_t resize_axis_bytes(const ResizeRule& rule, int64_t in, int64_t out, double scale) {
  if (in == out && scale == 1.0) return static_cast<size_t>(out) * 8;
  return static_cast<size_t>(out) * static_cast<size_t>(taps_of(rule, scale)) * 8;
}

ResizeAxis make_resize_axis(const ResizeRule& rule, int64_t in, int64_t out, double scale, void* memory) {
  // An axis that keeps its size is copied, whatever the mode.
  const bool same = in == out && scale == 1.0;
  const int taps = same ? 1 : taps_of(rule, scale);
  auto* index = static_cast<int32_t*>(memory);
  auto* weight = reinterpret_cast<float*>(index + out * taps);
  const int64_t start = same || taps == 1 ? 0 : first_tap(rule, scale);
  for (int64_t o = 0; o < out; ++o) {
    const double x = same ? static_cast<double>(o) : source_of(rule, in, out, scale, o);
    if (taps == 1) {
      const double at = same ? x : nearest_of(rule, x);
      index[o] = static_cast<int32_t>(std::clamp<double>(at, 0, static_cast<double>(in - 1)));
      weight[o] = 1;
      continue;
    }
    const double base = std::floor(x), ratio = x - base;
    double sum = 0;
    auto value = [&](int t) {
      const double at = base + static_cast<double>(start + t);
      if (rule.exclude_outside && (at < 0 || at > static_cast<double>(in - 1))) return 0.0;
      return filter(rule, (static_cast<double>(start + t) - ratio) * stretch(rule, scale));
    };
    for (int t = 0; t < taps; ++t) sum += value(t);
    // Weights of a plain filter add up to 1 already.
    if (!rule.exclude_outside && !rule.antialias) sum = 1;
    for (int t = 0; t < taps; ++t) {
      index[t * out + o] = static_cast<int32_t>(std::clamp<double>(base + static_cast<double>(start + t), 0, static_cast<double>(in - 1)));
      weight[t * out + o] = static_cast<float>(sum != 0 ? value(t) / sum : 0);
    }
  }
  return {in, out, taps, index, weight};
}

namespace {
void row_last(const Resize& r, const ResizeTable& table, int64_t image, int64_t y) {
  const float* from[kMaxResizeTaps];
  float weight[kMaxResizeTaps];
  const float* base = r.in + image * r.rows.in * r.cols.in * r.ld_in;
  float* out = r.out + (image * r.rows.out + y) * r.cols.out * r.ld_out;
  for (int64_t x = 0; x < r.cols.out; ++x) {
    int n = 0;
    for (int i = 0; i < r.rows.taps; ++i)
      for (int j = 0; j < r.cols.taps; ++j, ++n) {
        const int64_t a = i * r.rows.out + y, b = j * r.cols.out + x;
        from[n] = base + (r.rows.index[a] * r.cols.in + r.cols.index[b]) * r.ld_in;
        weight[n] = r.rows.weight[a] * r.cols.weight[b];
      }
    if (n == 1)
      std::memcpy(out + x * r.ld_out, from[0], static_cast<size_t>(r.channels) * sizeof(float));
    else
      table.weighted_sum(from, weight, n, r.channels, out + x * r.ld_out);
  }
}

// The taps of the rows are joined over whole input rows first, then the columns.
void row_first(const Resize& r, const ResizeTable& table, int64_t plane, int64_t y) {
  alignas(64) float line[kMaxResizeWidth];
  const float* from[kMaxResizeTaps];
  float weight[kMaxResizeTaps];
  for (int i = 0; i < r.rows.taps; ++i) {
    const int64_t a = i * r.rows.out + y;
    from[i] = r.in + (plane * r.rows.in + r.rows.index[a]) * r.cols.in;
    weight[i] = r.rows.weight[a];
  }
  const float* source = from[0];
  if (r.rows.taps > 1) {
    table.weighted_sum(from, weight, r.rows.taps, r.cols.in, line);
    source = line;
  }
  float* out = r.out + (plane * r.rows.out + y) * r.cols.out;
  table.along(source, r.cols, out);
}
}  // namespace

Status run_resize(const Resize& r, ThreadPool& pool, Isa isa) {
  if (int64_t{r.rows.taps} * r.cols.taps > kMaxResizeTaps) return fail(Code::kUnsupported, "resize by more than {} taps a pixel", kMaxResizeTaps);
  if (!r.channels_last && r.cols.in > kMaxResizeWidth) return fail(Code::kUnsupported, "resize of rows longer than {}", kMaxResizeWidth);
  if (r.batch == 0 || r.channels == 0 || r.rows.out == 0 || r.cols.out == 0) return {};
  if (r.rows.in == 0 || r.cols.in == 0) return invalid("resize of an empty image");
  const ResizeTable& table = resize_table(isa);
  const int64_t planes = r.channels_last ? r.batch : r.batch * r.channels;
  const int64_t work = r.cols.out * r.cols.taps * r.rows.taps * (r.channels_last ? r.channels : 1);
  pool.parallel_ranges(planes * r.rows.out, std::max<int64_t>(1, 16384 / work), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      (r.channels_last ? row_last : row_first)(r, table, t / r.rows.out, t % r.rows.out);
  });
  return {};
}

}  // namespace carnot::cpu
