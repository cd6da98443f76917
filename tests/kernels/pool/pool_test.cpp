// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/pool/pool.hpp"

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

std::vector<double> reference(const Pool& p) {
  std::vector<double> out(size_t(p.batch * p.out_size[0] * p.out_size[1] * p.out_size[2] * p.ld_out), 7.0);
  size_t pixel = 0;
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t z = 0; z < p.out_size[0]; ++z)
      for (int64_t y = 0; y < p.out_size[1]; ++y)
        for (int64_t x = 0; x < p.out_size[2]; ++x, ++pixel)
          for (int64_t c = 0; c < p.channels; ++c) {
            double max = -INFINITY, sum = 0;
            int64_t inside = 0, counted = 0;
            for (int64_t i = 0; i < p.kernel[0]; ++i)
              for (int64_t j = 0; j < p.kernel[1]; ++j)
                for (int64_t k = 0; k < p.kernel[2]; ++k) {
                  const int64_t at[3] = {z * p.stride[0] - p.pad[0] + i * p.dilation[0], y * p.stride[1] - p.pad[1] + j * p.dilation[1],
                                         x * p.stride[2] - p.pad[2] + k * p.dilation[2]};
                  bool in = true, padded = true;
                  for (int a = 0; a < 3; ++a) {
                    in = in && at[a] >= 0 && at[a] < p.in_size[a];
                    padded = padded && at[a] < p.in_size[a] + p.pad_end[a];
                  }
                  counted += padded;
                  if (!in) continue;
                  ++inside;
                  const double v = p.in[(((n * p.in_size[0] + at[0]) * p.in_size[1] + at[1]) * p.in_size[2] + at[2]) * p.ld_in + c];
                  max = std::max(max, v);
                  sum += v;
                }
            const int64_t by = p.count_include_pad ? counted : inside;
            out[pixel * size_t(p.ld_out) + size_t(c)] = p.kind == PoolKind::kMax ? max : by > 0 ? sum / double(by) : 0;
          }
  return out;
}

TEST(PoolKernels, Windows) {
  struct Case {
    int64_t size[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3], extra;
  };
  const Case cases[] = {
      {{1, 8, 9}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 0},  {{1, 7, 7}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1},
      {{1, 1, 20}, {1, 1, 5}, {1, 1, 3}, {1, 1, 2}, {0, 0, 2}, {0, 0, 3}, 0}, {{4, 5, 6}, {2, 3, 2}, {2, 1, 2}, {1, 2, 1}, {1, 2, 0}, {1, 2, 1}, 0},
      {{1, 5, 5}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}, 0},  {{1, 3, 3}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}, 0},
      {{1, 2, 2}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}, 0},  {{1, 0, 4}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 0},
  };
  for (const Case& k : cases)
    for (int64_t channels : {0, 1, 3, 16, 40, 65, 130})
      for (int mode = 0; mode < 3; ++mode) {
        Pool p{.kind = mode == 0 ? PoolKind::kMax : PoolKind::kAverage, .batch = 2, .channels = channels};
        p.count_include_pad = mode == 2;
        int64_t pixels = p.batch, results = p.batch;
        for (int a = 0; a < 3; ++a) {
          p.in_size[a] = k.size[a], p.kernel[a] = k.kernel[a], p.stride[a] = k.stride[a], p.dilation[a] = k.dilation[a], p.pad[a] = k.pad[a];
          p.pad_end[a] = k.pad_end[a];
          // `extra`: what ceil_mode adds.
          p.out_size[a] = std::max<int64_t>(0, (k.size[a] + k.pad[a] + k.pad_end[a] - (k.kernel[a] - 1) * k.dilation[a] - 1 + (a > 0 ? k.extra : 0)) / k.stride[a] + 1);
          pixels *= p.in_size[a];
          results *= p.out_size[a];
        }
        p.ld_in = channels + 2;
        p.ld_out = channels + 1;
        const auto x = uniform(pixels * p.ld_in);
        for (Isa isa : isas()) {
          std::vector<float> got(size_t(results * p.ld_out), 7.f);
          p.in = x.data();
          p.out = got.data();
          ASSERT_TRUE(run_pool(p, pool(), isa).ok());
          expect_near(got, reference(p), 1e-6, fmt::format("{} channels {} mode {}", isa_name(isa), channels, mode));
        }
      }
}

TEST(PoolKernels, Global) {
  for (Isa isa : isas())
    for (int64_t channels : {1, 16, 63, 64, 200})
      for (int64_t pixels : {1, 49, 1300})
        for (PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
          const int64_t ld = channels + 3;
          const auto x = uniform(2 * pixels * ld, -1, 2);
          std::vector<float> got(size_t(2 * channels));
          run_global_pool({.kind = kind, .batch = 2, .pixels = pixels, .channels = channels, .in = x.data(), .ld_in = ld, .out = got.data(), .ld_out = channels}, pool(), isa);
          std::vector<double> want;
          for (int64_t n = 0; n < 2; ++n)
            for (int64_t c = 0; c < channels; ++c) {
              double sum = 0, max = -INFINITY;
              for (int64_t q = 0; q < pixels; ++q) sum += x[size_t((n * pixels + q) * ld + c)], max = std::max<double>(max, x[size_t((n * pixels + q) * ld + c)]);
              want.push_back(kind == PoolKind::kMax ? max : sum / double(pixels));
            }
          expect_near(got, want, 1e-6, isa_name(isa).data());
        }
}

TEST(PoolKernels, RefusesHostileSizes) {
  float x[4] = {}, y[4];
  Pool p{.batch = 1, .channels = 1, .in = x, .ld_in = 1, .out = y, .ld_out = 1};
  EXPECT_TRUE(run_pool(p, pool()).ok());
  Pool stride = p, kernel = p, size = p, narrow = p;
  stride.stride[1] = 0;
  kernel.kernel[2] = 0;
  size.in_size[0] = -1;
  narrow.ld_in = 0;
  for (const Pool& bad : {stride, kernel, size, narrow}) EXPECT_FALSE(run_pool(bad, pool()).ok());
}

}  // namespace
}  // namespace carnot::cpu::testing
