// SPDX-License-Identifier: Apache-2.0
// However a product or convolution is cut, the result has the same bits.
#include <fmt/format.h>

#include <array>

#include "backends/cpu/kernels/conv/conv.hpp"
#include "backends/cpu/kernels/gemm/gemm.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "base/threads.hpp"
#include "reference.hpp"

namespace carnot::cpu::testing {
namespace {

constexpr int64_t kHuge = int64_t{1} << 24;
const std::vector<Blocking> kBlockings{{2, 0, 0, 0},  {3, 0, 0, 0},   {4, 0, 0, 0},       {7, 0, 0, 0},  {0, 1, 0, 0},     {0, 17, 0, 0},
                                       {0, 64, 0, 0}, {0, 0, 1, 0},   {0, 0, 5, 0},       {0, 0, 28, 0}, {0, 0, 0, 1},     {0, 0, 0, 2},
                                       {0, 0, 0, 99}, {3, 40, 11, 2}, {4, 100, 30, 3}, {kHuge, kHuge, kHuge, kHuge}};

std::string text(const Blocking& b) { return fmt::format("panels {} depth {} rows {} columns {}", b.panels, b.depth, b.rows, b.columns); }

TEST(Blocking, Gemm) {
  ThreadPool pool(3);
  for (const Isa isa : isas())
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 70, 33}, {37, 150, 129}, {100, 16, 300}, {23, 31, 1}}) {
      const auto a = random_floats(m * k, 1), b = random_floats(n * k, 2), bias = random_floats(n, 3), residual = random_floats(m * n, 4);
      std::vector<float> packed(size_t(packed_size(k, n)));
      pack_nk(b.data(), k, n, k, packed.data());
      auto run = [&, m = m, n = n, k = k](const Blocking& blocking) {
        std::vector<float> c(size_t(m * n));
        Gemm g{.m = m, .n = n, .k = k, .a = a.data(), .lda = k, .b = packed.data(), .c = c.data(), .ldc = n, .blocking = blocking};
        g.epilogue = {.bias = bias.data(), .residual = residual.data(), .ld_residual = n, .activation = Activation::kGeluErf};
        run_gemm(g, pool, isa);
        return c;
      };
      const auto want = run({});
      for (const Blocking& blocking : kBlockings) ASSERT_EQ(run(blocking), want) << isa_name(isa) << " " << m << "x" << n << "x" << k << ": " << text(blocking);
    }
}

TEST(Blocking, MatmulPackedOrNot) {
  ThreadPool pool(3);
  const int64_t m = 21, n = 48, k = 37;
  const auto a = random_floats(2 * m * k, 1), b = random_floats(2 * k * n, 2);
  for (const Isa isa : isas())
    for (const int64_t batch : {1, 2}) {
      auto run = [&](const Blocking& blocking, int packed) {
        std::vector<float> c(size_t(2 * m * n));
        BatchedMatmul p{.m = m, .n = n, .k = k, .batch = {1, 1, 1, batch}, .a = a.data(), .a_row = k, .a_batch = {0, 0, 0, m * k}, .b = b.data(), .b_row = n, .b_batch = {0, 0, 0, k * n}, .c = c.data(), .c_row = n, .c_batch = {0, 0, 0, m * n}};
        p.blocking = blocking;
        p.packed_b = packed;
        std::vector<char> scratch(matmul_workspace(p, pool.threads()));
        run_matmul(p, scratch.data(), pool, isa);
        return c;
      };
      const auto want = run({}, -1);
      for (const int packed : {-1, 0, 1})
        for (const Blocking& blocking : kBlockings) ASSERT_EQ(run(blocking, packed), want) << isa_name(isa) << ", packed " << packed << ": " << text(blocking);
    }
}

struct Convolution {
  const char* name;
  int64_t in_channels, out_channels, groups, size, kernel, stride, pad;
};

TEST(Blocking, Conv) {
  ThreadPool pool(3);
  for (const Isa isa : isas())
    for (const Convolution& t : {Convolution{"points", 20, 70, 1, 13, 3, 1, 1}, {"strided", 24, 33, 1, 15, 3, 2, 1}, {"few channels", 3, 40, 1, 19, 5, 2, 2}, {"product", 40, 50, 1, 9, 1, 1, 0},
                                 {"groups", 12, 24, 4, 8, 3, 1, 1}, {"depthwise", 37, 37, 37, 25, 3, 1, 1}}) {
      const int64_t out = (t.size + 2 * t.pad - t.kernel) / t.stride + 1;
      Conv c{.batch = 2, .in_channels = t.in_channels, .out_channels = t.out_channels, .groups = t.groups, .in = {1, t.size, t.size}, .out = {1, out, out}, .kernel = {1, t.kernel, t.kernel}, .stride = {1, t.stride, t.stride}, .pad = {0, t.pad, t.pad}};
      const auto x = random_floats(2 * t.size * t.size * t.in_channels, 1), w = random_floats(t.out_channels * t.in_channels / t.groups * t.kernel * t.kernel, 2), bias = random_floats(t.out_channels, 3);
      std::vector<float> packed(size_t(packed_weights_size(c)));
      pack_weights(c, w.data(), packed.data());
      c.x = x.data(), c.ldx = t.in_channels, c.w = packed.data(), c.ldy = t.out_channels;
      c.epilogue = {.bias = bias.data(), .activation = Activation::kSilu};
      auto run = [&](Conv::Way way, const Blocking& blocking) {
        std::vector<float> y(size_t(2 * out * out * t.out_channels));
        Conv one = c;
        one.y = y.data(), one.way = way, one.blocking = blocking;
        std::vector<char> scratch(conv_workspace(one, pool.threads()));
        run_conv(one, scratch.data(), pool, isa);
        return y;
      };
      const auto want = run(Conv::Way::kAuto, {});
      for (const Conv::Way way : {Conv::Way::kAuto, Conv::Way::kPoints, Conv::Way::kBands})
        for (const Blocking& blocking : kBlockings) ASSERT_EQ(run(way, blocking), want) << isa_name(isa) << " " << t.name << ", way " << int(way) << ": " << text(blocking);
    }
}

}  // namespace
}  // namespace carnot::cpu::testing
