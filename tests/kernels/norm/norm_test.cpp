// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/norm/norm.hpp"

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

TEST(NormKernels, Rows) {
  for (Isa isa : isas())
    for (int64_t cols : {1, 5, 16, 63, 64, 100, 768, 20000})
      for (int64_t rows : {0, 1, 4})
        for (int mode = 0; mode < 16; ++mode) {
          const bool rms = mode & 1, residual = mode & 2, affine = mode & 4, with_sum = mode & 8;
          const int64_t ld = cols + 1;
          const auto x = uniform(rows * ld, 2, 5), add = uniform(rows * cols, -1, 1, 2), scale = uniform(cols, 0, 2, 3), bias = uniform(cols, -1, 1, 4);
          std::vector<float> got(x.size(), 9.f), sums(size_t(rows * cols));
          run_row_norm({.rows = rows, .cols = cols, .in = x.data(), .ld_in = ld, .residual = residual ? add.data() : nullptr, .ld_residual = cols,
                        .sum = with_sum ? sums.data() : nullptr, .ld_sum = cols, .out = got.data(), .ld_out = ld,
                        .scale = affine ? scale.data() : nullptr, .bias = affine && !rms ? bias.data() : nullptr, .epsilon = 1e-3f, .rms = rms}, pool(), isa);
          std::vector<double> want(x.size(), 9.0);
          for (int64_t r = 0; r < rows; ++r) {
            std::vector<double> t;
            for (int64_t c = 0; c < cols; ++c) t.push_back(x[size_t(r * ld + c)] + (residual ? add[size_t(r * cols + c)] : 0.f));
            double mean = 0, var = 0;
            for (double v : t) mean += v / double(cols);
            if (rms) mean = 0;
            for (double v : t) var += (v - mean) * (v - mean) / double(cols);
            for (int64_t c = 0; c < cols; ++c) {
              const auto i = size_t(c);
              want[size_t(r * ld + c)] = (t[i] - mean) / std::sqrt(var + 1e-3) * (affine ? scale[i] : 1) + (affine && !rms ? bias[i] : 0);
              if (residual && with_sum) {
                ASSERT_NEAR(sums[size_t(r * cols + c)], t[i], 1e-6);
              }
            }
          }
          expect_near(got, want, 1e-5, fmt::format("{} cols {} mode {}", isa_name(isa), cols, mode));
        }
}

TEST(NormKernels, Groups) {
  struct Case {
    int64_t batch, channels, pixels, groups;
  };
  for (Isa isa : isas())
    for (const Case& k : {Case{2, 6, 35, 3}, {1, 64, 49, 32}, {2, 64, 1000, 64}, {1, 130, 20, 130}, {1, 320, 16, 32}, {1, 256, 9, 2}, {3, 1, 7, 1}, {1, 96, 5, 1},
                          {0, 4, 4, 2}, {1, 3, 1, 3}})
      for (bool last : {false, true}) {
        const auto x = uniform(k.batch * k.channels * k.pixels, 1, 4), scale = uniform(k.channels, 0, 2, 2), bias = uniform(k.channels, -1, 1, 3);
        std::vector<float> got(x.size());
        run_group_norm({.batch = k.batch, .channels = k.channels, .pixels = k.pixels, .groups = k.groups, .channels_last = last, .in = x.data(),
                        .out = got.data(), .scale = scale.data(), .bias = bias.data(), .epsilon = 1e-4f}, pool(), isa);
        std::vector<double> want(x.size());
        const int64_t per = k.channels / k.groups;
        auto at = [&](int64_t b, int64_t c, int64_t p) { return size_t(last ? (b * k.pixels + p) * k.channels + c : (b * k.channels + c) * k.pixels + p); };
        for (int64_t b = 0; b < k.batch; ++b)
          for (int64_t g = 0; g < k.groups; ++g) {
            double mean = 0, var = 0;
            const double n = double(per * k.pixels);
            for (int64_t c = g * per; c < (g + 1) * per; ++c)
              for (int64_t p = 0; p < k.pixels; ++p) mean += x[at(b, c, p)] / n;
            for (int64_t c = g * per; c < (g + 1) * per; ++c)
              for (int64_t p = 0; p < k.pixels; ++p) var += (x[at(b, c, p)] - mean) * (x[at(b, c, p)] - mean) / n;
            for (int64_t c = g * per; c < (g + 1) * per; ++c)
              for (int64_t p = 0; p < k.pixels; ++p)
                want[at(b, c, p)] = (x[at(b, c, p)] - mean) / std::sqrt(var + 1e-4) * scale[size_t(c)] + bias[size_t(c)];
          }
        expect_near(got, want, 2e-5, fmt::format("{} channels {} groups {} {}", isa_name(isa), k.channels, k.groups, last));
      }
}

TEST(NormKernels, Lengths) {
  for (Isa isa : isas())
    for (auto [outer, axis, inner] : {std::tuple<int64_t, int64_t, int64_t>{5, 33, 1}, {3, 700, 1}, {2, 9, 130}, {1, 300, 7}, {4, 1, 1}, {0, 4, 4}, {2, 0, 3}, {2, 3, 0}})
      for (float epsilon : {0.f, 4.f}) {
        auto x = uniform(outer * axis * inner, -2, 2);
        if (inner == 1) std::fill_n(x.begin(), axis, 0.f);  // a row without a length
        std::vector<float> got(x.size());
        run_l2_norm(x.data(), got.data(), outer, axis, inner, epsilon, pool(), isa);
        std::vector<double> want(x.size());
        for (int64_t o = 0; o < outer; ++o)
          for (int64_t i = 0; i < inner; ++i) {
            double sum = 0;
            auto at = [&](int64_t a) { return size_t((o * axis + a) * inner + i); };
            for (int64_t a = 0; a < axis; ++a) sum += double(x[at(a)]) * double(x[at(a)]);
            const double norm = std::max(std::sqrt(sum), double(epsilon));
            for (int64_t a = 0; a < axis; ++a) want[at(a)] = norm == 0 ? 0 : x[at(a)] / norm;
          }
        expect_near(got, want, 1e-6, fmt::format("{} {}x{}x{}", isa_name(isa), outer, axis, inner));
      }
}

}  // namespace
}  // namespace carnot::cpu::testing
