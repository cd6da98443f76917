// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/conv/conv.hpp"

#include <array>
#include <atomic>

#include "base/threads.hpp"
#include "reference.hpp"

namespace carnot::cpu::testing {
namespace {

constexpr float kUntouched = -12345.f;
using Dims3 = std::array<int64_t, 3>;

struct Case {
  int64_t batch, in_channels, out_channels, groups;
  Dims3 in, kernel, stride = {1, 1, 1}, dilation = {1, 1, 1}, pad = {0, 0, 0}, pad_end = {0, 0, 0};
  bool transposed = false, planar = false;
  Activation activation = Activation::kNone;
  bool residual = false, after = false;
  Conv::Way way = Conv::Way::kAuto;
  int64_t blocking_rows = 0;
};

std::ostream& operator<<(std::ostream& out, const Case& t) {
  auto dims = [&](const char* name, const Dims3& d) {
    out << " " << name << " " << d[0] << "x" << d[1] << "x" << d[2];
  };
  out << "n" << t.batch << " c" << t.in_channels << " -> " << t.out_channels << " g" << t.groups;
  dims("in", t.in), dims("kernel", t.kernel), dims("stride", t.stride), dims("dilation", t.dilation),
      dims("pad", t.pad);
  dims("end", t.pad_end);
  return out << " act " << int(t.activation) << (t.residual ? " residual" : "") << (t.after ? " after" : "") << " way " << int(t.way) << " rows " << t.blocking_rows;
}

Dims3 output_dims(const Case& t) {
  Dims3 out;
  for (size_t d = 0; d < 3; ++d) {
    const int64_t extent = (t.kernel[d] - 1) * t.dilation[d] + 1;
    out[d] = t.transposed ? (t.in[d] - 1) * t.stride[d] + extent - t.pad[d] - t.pad_end[d]
                          : (t.in[d] + t.pad[d] + t.pad_end[d] - extent) / t.stride[d] + 1;
  }
  return out;
}

struct Coverage {
  std::vector<std::atomic<int>> seen;
  const float* y;
  ptrdiff_t ldy;
  int64_t channels;
  std::atomic<int> wrong{0};
  static void note(void* ctx, float* block, ptrdiff_t ld, int64_t row0, int64_t rows, int64_t col0, int64_t cols) {
    auto& self = *static_cast<Coverage*>(ctx);
    if (ld != self.ldy || block != self.y + row0 * ld + col0) self.wrong.fetch_add(1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < cols; ++j) self.seen[size_t((row0 + r) * self.channels + col0 + j)].fetch_add(1);
  }
};

void check(const Case& t, Isa isa, ThreadPool& pool, std::vector<float>* result = nullptr) {
  SCOPED_TRACE(::testing::Message() << isa_name(isa) << ", threads " << pool.threads() << ": " << t);
  const Dims3 out = output_dims(t);
  const int64_t taps = t.kernel[0] * t.kernel[1] * t.kernel[2], in_pixels = t.in[0] * t.in[1] * t.in[2];
  const int64_t out_pixels = out[0] * out[1] * out[2], icg = t.in_channels / t.groups, ocg = t.out_channels / t.groups;
  Conv c{.batch = t.batch, .in_channels = t.in_channels, .out_channels = t.out_channels, .groups = t.groups};
  for (size_t d = 0; d < 3; ++d) {
    c.in[d] = t.in[d], c.out[d] = out[d], c.kernel[d] = t.kernel[d];
    c.stride[d] = t.stride[d], c.dilation[d] = t.dilation[d], c.pad[d] = t.pad[d];
  }
  c.planar_input = t.planar;
  c.way = t.way;
  c.blocking.rows = t.blocking_rows;
  const bool winograd = conv_takes_winograd(c);
  ASSERT_TRUE(!t.planar || conv_reads_planar(c));
  c.ldx = t.in_channels + (t.batch > 1 && !t.planar ? 3 : 0);
  c.ldy = t.out_channels + 2;
  const int64_t ld_residual = t.out_channels + 1;
  // x is held exactly as long as it may be read: a kernel that reads behind it shows under the address sanitizer.
  const auto x = random_floats(t.planar ? t.batch * in_pixels * t.in_channels
                                        : std::max<int64_t>(0, t.batch * in_pixels * c.ldx - (c.ldx - t.in_channels)),
                               1);
  const auto w = random_floats(t.in_channels * ocg * taps, 2), bias = random_floats(t.out_channels, 3);
  const auto residual = random_floats(t.batch * out_pixels * ld_residual, 4);
  std::vector<float> packed(size_t(t.transposed ? packed_transpose_weights_size(c) : packed_weights_size(c)), NAN);
  t.transposed ? pack_transpose_weights(c, w.data(), packed.data()) : pack_weights(c, w.data(), packed.data());
  const size_t bytes = t.transposed ? conv_transpose_workspace(c, pool.threads()) : conv_workspace(c, pool.threads());
  std::vector<float> scratch(bytes / sizeof(float) + 1, kUntouched),
      y(size_t(t.batch * out_pixels * c.ldy) + 1, kUntouched);
  Coverage coverage{std::vector<std::atomic<int>>(size_t(t.batch * out_pixels * t.out_channels)), y.data(), c.ldy,
                    t.out_channels};
  c.x = x.data(), c.w = packed.data(), c.y = y.data();
  const float alpha = t.activation == Activation::kClip ? -0.25f : 1.f / 6, beta = 0.5f;
  c.epilogue = {.bias = bias.data(),
                .residual = t.residual ? residual.data() : nullptr,
                .ld_residual = ld_residual,
                .residual_after = t.after,
                .activation = t.activation,
                .alpha = alpha,
                .beta = beta,
                .post = Coverage::note,
                .post_ctx = &coverage};
  t.transposed ? run_conv_transpose(c, scratch.data(), pool, isa) : run_conv(c, scratch.data(), pool, isa);
  EXPECT_EQ(scratch.back(), kUntouched) << "wrote past the workspace";
  EXPECT_EQ(coverage.wrong.load(), 0);
  for (auto& s : coverage.seen) ASSERT_EQ(s.load(), 1);

  auto x_at = [&](int64_t n, int64_t pixel, int64_t ch) {
    return t.planar ? x[size_t((n * t.in_channels + ch) * in_pixels + pixel)]
                    : x[size_t((n * in_pixels + pixel) * c.ldx + ch)];
  };
  for (int64_t n = 0; n < t.batch; ++n)
    for (int64_t o = 0; o < out_pixels; ++o) {
      const int64_t at[3] = {o / (out[1] * out[2]), o / out[2] % out[1], o % out[2]};
      for (int64_t oc = 0; oc < t.out_channels; ++oc) {
        const int64_t g = oc / ocg;
        Sum sum;
        sum.add(bias[size_t(oc)], 1);
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int64_t k[3] = {tap / (t.kernel[1] * t.kernel[2]), tap / t.kernel[2] % t.kernel[1], tap % t.kernel[2]};
          int64_t from = 0;
          bool inside = true;
          for (size_t d = 0; d < 3; ++d) {
            int64_t i = t.transposed ? at[d] + t.pad[d] - k[d] * t.dilation[d]
                                     : at[d] * t.stride[d] + k[d] * t.dilation[d] - t.pad[d];
            if (t.transposed) {
              inside &= i >= 0 && i % t.stride[d] == 0;
              i /= t.stride[d];
            }
            inside &= i >= 0 && i < t.in[d];
            from = from * t.in[d] + i;
          }
          if (!inside) continue;
          for (int64_t ic = 0; ic < icg; ++ic)
            sum.add(x_at(n, from, g * icg + ic), t.transposed
                                                     ? w[size_t(((g * icg + ic) * ocg + oc % ocg) * taps + tap)]
                                                     : w[size_t((oc * icg + ic) * taps + tap)]);
        }
        const double extra = t.residual ? residual[size_t((n * out_pixels + o) * ld_residual + oc)] : 0;
        if (!t.after) sum.add(extra, 1);
        double want = activate_reference(t.activation, sum.value, alpha, beta);
        if (t.after) want += extra;
        ASSERT_NEAR(y[size_t((n * out_pixels + o) * c.ldy + oc)], want, (winograd ? 16 : 1) * sum.bound() + 3e-7)
            << "n " << n << ", pixel " << at[0] << "," << at[1] << "," << at[2] << ", channel " << oc;
      }
      for (int64_t j = t.out_channels; j < c.ldy; ++j)
        ASSERT_EQ(y[size_t((n * out_pixels + o) * c.ldy + j)], kUntouched) << "wrote into the gap after a pixel";
    }
  if (result) *result = y;
}

void check_all(const std::vector<Case>& cases) {
  ThreadPool one(1), two(2), five(5);
  for (Isa isa : isas())
    for (const Case& t : cases) {
      std::vector<float> a, b, c;
      check(t, isa, one, &a);
      check(t, isa, two, &b);
      check(t, isa, five, &c);
      if (::testing::Test::HasFatalFailure()) return;
      ASSERT_EQ(a, b) << "two threads gave other bits: " << t;
      ASSERT_EQ(a, c) << "five threads gave other bits: " << t;
    }
}

TEST(Conv, General) {
  check_all({
      {1, 16, 32, 1, {1, 7, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {2, 13, 17, 1, {1, 11, 6}, {1, 3, 2}, {1, 2, 1}, {1, 1, 1}, {0, 0, 1}, {0, 1, 0}},
      {1, 20, 40, 1, {1, 9, 9}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 0, 0}},
      {1, 12, 10, 1, {1, 13, 12}, {1, 3, 3}, {1, 1, 1}, {1, 2, 3}, {0, 2, 3}, {0, 2, 3}},
      {1, 32, 64, 1, {1, 8, 8}, {1, 1, 1}, {1, 2, 2}},
      {2, 24, 33, 1, {1, 5, 5}, {1, 1, 1}},
      {1, 9, 5, 1, {1, 1, 50}, {1, 1, 5}, {1, 1, 2}, {1, 1, 1}, {0, 0, 2}, {0, 0, 2}},
      {1, 10, 18, 1, {4, 5, 6}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
      {1, 10, 18, 1, {5, 5, 6}, {3, 1, 2}, {2, 1, 2}, {2, 1, 1}, {1, 0, 0}, {2, 0, 1}},
      {1, 600, 20, 1, {1, 5, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {1, 1100, 50, 1, {1, 3, 7}, {1, 1, 2}},
      {1, 16, 16, 1, {1, 2, 2}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 4, 4}, {0, 4, 4}},
      {1, 16, 1, 1, {1, 40, 40}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
  });
}

TEST(Conv, Grouped) {
  check_all({
      {1, 8, 12, 4, {1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {2, 64, 96, 2, {1, 5, 5}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {1, 6, 18, 6, {1, 5, 8}, {1, 3, 3}},
      {1, 30, 20, 10, {1, 4, 4}, {1, 1, 1}},
      {1, 12, 4, 2, {2, 4, 4}, {2, 2, 2}},
  });
}

TEST(Conv, FewInputChannels) {
  check_all({
      {1, 3, 16, 1, {1, 33, 29}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},
      {2, 3, 24, 1, {1, 12, 15}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 1, 1}},
      {2, 3, 24, 1, {1, 12, 15}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 1, 1}, false, true},
      {1, 4, 40, 1, {1, 32, 32}, {1, 16, 16}, {1, 16, 16}, {1, 1, 1}, {}, {}, false, true},
      {1, 3, 8, 1, {5, 9, 11}, {3, 3, 3}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, false, true},
      {1, 1, 5, 1, {1, 1, 400}, {1, 1, 10}, {1, 1, 5}},
      {1, 1, 5, 1, {1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {1, 2, 1}, {0, 2, 1}, {0, 2, 1}},
      {1, 2, 7, 1, {1, 4, 3}, {1, 3, 5}, {1, 1, 1}, {1, 1, 1}, {0, 3, 6}, {0, 2, 5}},
  });
}

TEST(Conv, Depthwise) {
  std::vector<Case> cases;
  for (int64_t k : {3, 5, 7})
    for (int64_t stride : {1, 2, 3})
      for (int64_t channels : {16, 37})
        cases.push_back({1,
                         channels,
                         channels,
                         channels,
                         {1, 13, 21},
                         {1, k, k},
                         {1, stride, stride},
                         {1, 1, 1},
                         {0, k / 2, k / 2},
                         {0, k / 2, k / 2}});
  cases.push_back({2, 9, 9, 9, {1, 8, 30}, {1, 3, 3}, {1, 1, 1}, {1, 2, 2}, {0, 2, 2}, {0, 2, 2}});
  cases.push_back({1, 100, 100, 100, {1, 3, 2}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}});
  cases.push_back({1, 33, 33, 33, {3, 5, 9}, {3, 3, 3}, {1, 1, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}});
  cases.push_back({1, 20, 20, 20, {1, 1, 64}, {1, 1, 9}, {1, 1, 1}, {1, 1, 1}, {0, 0, 4}, {0, 0, 4}});
  cases.push_back({1, 4, 4, 4, {1, 1, 2}, {1, 1, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 6}, {0, 0, 6}});
  check_all(cases);
}

TEST(Conv, EpilogueOnEveryPath) {
  std::vector<Case> cases;
  for (Activation activation : kAllActivations)
    for (int mode = 0; mode < 3; ++mode)
      for (Case t : {Case{1, 12, 23, 1, {1, 5, 6}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
                     Case{1, 8, 12, 4, {1, 5, 6}, {1, 3, 3}}, Case{1, 19, 19, 19, {1, 5, 12}, {1, 3, 3}},
                     Case{1, 3, 20, 1, {1, 8, 9}, {1, 3, 3}}, Case{1, 21, 20, 1, {1, 4, 4}, {1, 1, 1}},
                     Case{1, 6, 20, 1, {1, 4, 4}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {}, {}, true}}) {
        t.activation = activation;
        t.residual = mode > 0;
        t.after = mode > 1;
        cases.push_back(t);
      }
  check_all(cases);
}

TEST(Conv, Winograd) {
  std::vector<Case> cases;
  for (const Conv::Way way : {Conv::Way::kWinograd2, Conv::Way::kWinograd4})
    for (const int64_t rows : {0, 1, 5, 1000})
      for (Case t : {Case{1, 16, 64, 1, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}}, Case{2, 19, 37, 1, {1, 7, 13}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
                     Case{1, 33, 150, 1, {1, 6, 5}, {1, 3, 3}}, Case{3, 8, 1, 1, {1, 3, 3}, {1, 3, 3}}, Case{1, 9, 20, 1, {1, 4, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 2, 0}, {0, 1, 3}}}) {
        t.way = way;
        t.blocking_rows = rows;
        cases.push_back(t);
      }
  for (const Conv::Way way : {Conv::Way::kWinograd2, Conv::Way::kWinograd4})
    for (const Activation activation : kAllActivations)
      for (int mode = 0; mode < 3; ++mode)
        cases.push_back({1, 12, 23, 1, {1, 7, 6}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, false, false, activation, mode > 0, mode > 1, way});
  check_all(cases);
}

TEST(ConvTranspose, PhasesPaddingAndGroups) {
  check_all({
      {1, 16, 8, 1, {1, 5, 6}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {}, {}, true},
      {2, 7, 19, 1, {1, 4, 5}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, true},
      {1, 7, 19, 1, {1, 4, 5}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 0, 0}, true},
      {1, 7, 40, 1, {1, 1, 20}, {1, 1, 4}, {1, 1, 3}, {1, 1, 1}, {0, 0, 1}, {0, 0, 2}, true},
      {1, 12, 8, 4, {1, 4, 4}, {1, 3, 4}, {1, 1, 2}, {1, 2, 1}, {0, 1, 0}, {0, 1, 0}, true},
      {1, 6, 10, 2, {2, 3, 4}, {3, 3, 3}, {2, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 1, 0}, true},
      {1, 6, 10, 1, {1, 3, 4}, {1, 2, 2}, {1, 3, 3}, {1, 1, 1}, {}, {}, true},
      {1, 6, 100, 1, {1, 1, 3}, {1, 1, 5}, {1, 1, 1}, {1, 1, 1}, {0, 0, 2}, {0, 0, 2}, true},
  });
}

}  // namespace
}  // namespace carnot::cpu::testing
