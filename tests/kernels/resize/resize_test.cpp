// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/resize/resize.hpp"

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

struct OwnedAxis {
  std::vector<int32_t> memory;
  ResizeAxis axis;
  OwnedAxis(const ResizeRule& rule, int64_t in, int64_t out, double scale) : memory(resize_axis_bytes(rule, in, out, scale) / 4) {
    axis = make_resize_axis(rule, in, out, scale, memory.data());
  }
};

std::vector<float> resize_row(const ResizeRule& rule, const std::vector<float>& x, int64_t out, double scale) {
  const auto in = static_cast<int64_t>(x.size());
  OwnedAxis rows(rule, 1, 1, 1), cols(rule, in, out, scale);
  std::vector<float> y(static_cast<size_t>(out));
  EXPECT_TRUE(run_resize({.batch = 1, .channels = 1, .rows = rows.axis, .cols = cols.axis, .channels_last = false, .in = x.data(), .out = y.data()}, pool()).ok());
  return y;
}

ResizeRule rule(std::string_view mode, std::string_view coordinates, std::string_view nearest = "round_prefer_floor") {
  auto r = ResizeRule::parse(mode, coordinates, nearest);
  EXPECT_TRUE(r.ok());
  return *r;
}

void expect_row(const ResizeRule& r, const std::vector<float>& x, const std::vector<double>& want, double scale = 0) {
  const auto out = static_cast<int64_t>(want.size());
  expect_near(resize_row(r, x, out, scale != 0 ? scale : double(out) / double(x.size())), want, 1e-6, "row");
}

// Worked by hand from the definitions of ONNX Resize.
TEST(ResizeKernels, Coordinates) {
  const std::vector<float> x{1, 2, 3, 4};
  expect_row(rule("linear", "half_pixel"), x, {1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4});
  expect_row(rule("linear", "align_corners"), x, {1, 10.0 / 7, 13.0 / 7, 16.0 / 7, 19.0 / 7, 22.0 / 7, 25.0 / 7, 4});
  expect_row(rule("linear", "asymmetric"), x, {1, 1.5, 2, 2.5, 3, 3.5, 4, 4});
  expect_row(rule("linear", "pytorch_half_pixel"), x, {1});
  expect_row(rule("linear", "half_pixel"), x, {2.5});
  expect_row(rule("linear", "half_pixel"), x, {1 + 1.0 / 3, 3}, 0.6);         // (0 + 0.5) / 0.6 - 0.5 = 1/3, (1 + 0.5) / 0.6 - 0.5 = 2
  expect_row(rule("linear", "half_pixel_symmetric"), x, {1 + 2.0 / 3, 3 + 1.0 / 3}, 0.6);  // centred: 2 * (1 - 2/2.4) + (o + 0.5) / 0.6 - 0.5
  expect_row(rule("nearest", "asymmetric", "floor"), x, {1, 1, 2, 2, 3, 3, 4, 4});
  expect_row(rule("nearest", "half_pixel"), x, {1, 1, 2, 2, 3, 3, 4, 4});
  expect_row(rule("nearest", "asymmetric", "ceil"), x, {1, 2, 2, 3, 3, 4, 4, 4});
  expect_row(rule("nearest", "align_corners", "round_prefer_floor"), x, {1, 2, 4});   // 1.5 rounds down
  expect_row(rule("nearest", "align_corners", "round_prefer_ceil"), x, {1, 3, 4});
  expect_row(rule("nearest", "tf_half_pixel_for_nn", "floor"), x, {2, 4});
  EXPECT_FALSE(ResizeRule::parse("linear", "tf_crop_and_resize", "floor").ok());
  EXPECT_FALSE(ResizeRule::parse("area", "half_pixel", "floor").ok());
  EXPECT_FALSE(ResizeRule::parse("linear", "half_pixel", "up").ok());
}

TEST(ResizeKernels, Cubic) {
  // At 1.5 between 2 and 3 with a = -0.75: weights -0.09375, 0.59375, 0.59375, -0.09375.
  const std::vector<float> x{1, 5, 2, 8};
  expect_row(rule("cubic", "asymmetric"), x, {1, -0.09375 * 1 + 0.59375 * 1 + 0.59375 * 5 - 0.09375 * 2, 5, -0.09375 * 1 + 0.59375 * 5 + 0.59375 * 2 - 0.09375 * 8, 2,
                                               -0.09375 * 5 + 0.59375 * 2 + 0.59375 * 8 - 0.09375 * 8, 8, 0.59375 * 8 - 0.09375 * 2 + 0.5 * 8});
  ResizeRule outside = rule("cubic", "asymmetric");
  outside.exclude_outside = true;
  const auto y = resize_row(outside, x, 8, 2);
  EXPECT_NEAR(y[1], (0.59375 * 1 + 0.59375 * 5 - 0.09375 * 2) / (0.59375 * 2 - 0.09375), 1e-5);
}

TEST(ResizeKernels, AntialiasAveragesWhenShrinking) {
  ResizeRule r = rule("linear", "half_pixel");
  r.antialias = true;
  // Half size: a triangle of width 4, weights 1/8 3/8 3/8 1/8; at the border the edge is repeated.
  expect_row(r, {8, 16, 24, 32}, {8 * (1.0 / 8 + 3.0 / 8) + 16 * 3.0 / 8 + 24.0 / 8, 16.0 / 8 + 24 * 3.0 / 8 + 32 * (3.0 / 8 + 1.0 / 8)});
  r.exclude_outside = true;
  expect_row(r, {8, 16, 24, 32}, {(8 * 3.0 + 16 * 3 + 24) / 7, (16.0 + 24 * 3 + 32 * 3) / 7});
}

TEST(ResizeKernels, ImagesInBothLayouts) {
  for (const char* mode : {"nearest", "linear", "cubic"})
    for (int64_t channels : {1, 3, 16, 37})
      for (auto [ih, iw, oh, ow] : {std::tuple<int64_t, int64_t, int64_t, int64_t>{4, 5, 8, 10}, {7, 9, 3, 20}, {1, 6, 1, 33}, {5, 5, 5, 5}, {3, 3, 0, 4}}) {
        const ResizeRule r = rule(mode, "half_pixel");
        OwnedAxis rows(r, ih, oh, double(oh) / double(ih)), cols(r, iw, ow, double(ow) / double(iw));
        const int64_t batch = 2, ld_in = channels + 1, ld_out = channels + 2;
        const auto x = uniform(batch * ih * iw * ld_in);
        std::vector<float> planes(size_t(batch * channels * ih * iw));
        for (int64_t n = 0; n < batch; ++n)
          for (int64_t p = 0; p < ih * iw; ++p)
            for (int64_t c = 0; c < channels; ++c) planes[size_t((n * channels + c) * ih * iw + p)] = x[size_t((n * ih * iw + p) * ld_in + c)];
        std::vector<double> want(size_t(batch * oh * ow * ld_out), 3.0), want_planes(size_t(batch * channels * oh * ow));
        for (int64_t n = 0; n < batch; ++n)
          for (int64_t y = 0; y < oh; ++y)
            for (int64_t z = 0; z < ow; ++z)
              for (int64_t c = 0; c < channels; ++c) {
                double sum = 0;
                for (int i = 0; i < rows.axis.taps; ++i)
                  for (int j = 0; j < cols.axis.taps; ++j)
                    sum += double(rows.axis.weight[i * oh + y]) * cols.axis.weight[j * ow + z] *
                           x[size_t(((n * ih + rows.axis.index[i * oh + y]) * iw + cols.axis.index[j * ow + z]) * ld_in + c)];
                want[size_t(((n * oh + y) * ow + z) * ld_out + c)] = sum;
                want_planes[size_t(((n * channels + c) * oh + y) * ow + z)] = sum;
              }
        for (Isa isa : isas()) {
          std::vector<float> got(want.size(), 3.f), got_planes(want_planes.size());
          ASSERT_TRUE(run_resize({.batch = batch, .channels = channels, .rows = rows.axis, .cols = cols.axis, .in = x.data(), .out = got.data(), .ld_in = ld_in,
                                  .ld_out = ld_out}, pool(), isa).ok());
          expect_near(got, want, 1e-6, mode);
          ASSERT_TRUE(run_resize({.batch = batch, .channels = channels, .rows = rows.axis, .cols = cols.axis, .channels_last = false, .in = planes.data(),
                                  .out = got_planes.data()}, pool(), isa).ok());
          expect_near(got_planes, want_planes, 1e-6, mode);
        }
      }
}

}  // namespace
}  // namespace carnot::cpu::testing
