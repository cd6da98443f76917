// SPDX-License-Identifier: Apache-2.0
// f16 and bf16: every conversion against the scalar types of base/dtype.hpp, and products and convolutions on narrow operands against
// the same on widened ones, rounded at the end.
#include "backends/cpu/kernels/half/half.hpp"

#include <bit>

#include "../support.hpp"
#include "backends/cpu/kernels/conv/conv.hpp"
#include "backends/cpu/kernels/gemm/gemm.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"

namespace carnot::cpu {
namespace {

using testing::isas;
using testing::pool;
using testing::uniform;

struct Narrow {
  DType type;
  std::vector<uint16_t> bits;
  std::vector<float> wide;  // what the bits mean
  Narrow(DType t, std::vector<float> values) : type(t), bits(values.size()), wide(values.size()) {
    convert_floats(DType::kF32, values.data(), t, bits.data(), static_cast<int64_t>(values.size()));
    convert_floats(t, bits.data(), DType::kF32, wide.data(), static_cast<int64_t>(values.size()));
  }
};

// Equal but for the last bit, which an operation in another order may move.
void expect_close(const std::vector<uint16_t>& got, const std::vector<float>& want, DType type, const std::string& what) {
  std::vector<float> wide(got.size());
  convert_floats(type, got.data(), DType::kF32, wide.data(), static_cast<int64_t>(got.size()));
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(wide[i], want[i], std::abs(want[i]) * (type == DType::kF16 ? 1e-3f : 8e-3f) + 1e-5f) << what << " at " << i;
}

constexpr uint16_t kGap = 0x7e01;  // a NaN of f16, 4.2e37 in bf16: shows wherever it is used

// Rows with `gap` elements behind each.
std::vector<uint16_t> spread(const std::vector<uint16_t>& dense, int64_t columns, int64_t gap) {
  if (columns == 0) return {};
  const size_t rows = dense.size() / static_cast<size_t>(columns), step = static_cast<size_t>(columns + gap);
  std::vector<uint16_t> out(rows * step, kGap);
  for (size_t r = 0; r < rows; ++r) std::copy_n(dense.begin() + static_cast<std::ptrdiff_t>(r) * columns, columns, out.begin() + static_cast<std::ptrdiff_t>(r * step));
  return out;
}

// The same bits in the rows, and untouched gaps.
void expect_rows(const std::vector<uint16_t>& got, const std::vector<uint16_t>& dense, int64_t columns, int64_t gap, const std::string& what) {
  const std::vector<uint16_t> want = spread(dense, columns, gap);
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], want[i]) << what << ": rows apart, at " << i;
}

TEST(Half, rows_that_lie_apart_convert) {
  for (DType type : {DType::kF16, DType::kBF16})
    for (const int64_t columns : {1, 7, 64, 9000}) {
      const int64_t rows = 20000 / columns + 3;
      const Narrow x(type, uniform(rows * columns));
      const std::vector<uint16_t> apart = spread(x.bits, columns, 6);
      std::vector<float> wide(x.wide.size());
      widen_rows(type, apart.data(), columns + 6, wide.data(), rows, columns, pool());
      ASSERT_EQ(wide, x.wide) << columns;
      std::vector<uint16_t> back(apart.size(), kGap);
      narrow_rows(type, wide.data(), back.data(), columns + 6, rows, columns, pool());
      ASSERT_EQ(back, apart) << columns;
    }
}

TEST(Half, every_pattern_widens_and_comes_back) {
  std::vector<uint16_t> all(65536), back(65536);
  std::vector<float> wide(65536), want(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (DType type : {DType::kF16, DType::kBF16})
    for (Isa isa : isas()) {
      half_kernels(type, isa).widen(all.data(), wide.data(), 65536);
      half_kernels(type, isa).narrow(wide.data(), back.data(), 65536);
      convert_floats(type, all.data(), DType::kF32, want.data(), 65536);
      for (size_t i = 0; i < all.size(); ++i) {
        if (std::isnan(want[i])) {
          ASSERT_TRUE(std::isnan(wide[i])) << i;
          continue;
        }
        ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), std::bit_cast<uint32_t>(want[i])) << i;
        ASSERT_EQ(back[i], all[i]) << i;
      }
    }
}

TEST(Half, rounds_to_nearest_even) {
  std::vector<float> values;
  std::mt19937 rng(3);
  for (int i = 0; i < 20001; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(rng())));
  for (float x : {65519.9f, 65520.f, 1.00048828125f, 1.00146484375f, 5.96e-8f, 2.98e-8f, 3.3961775e38f, -0.f}) values.push_back(x);
  const auto n = static_cast<int64_t>(values.size());
  for (DType type : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> got(values.size()), want(values.size());
    convert_floats(DType::kF32, values.data(), type, want.data(), n);
    for (Isa isa : isas()) {
      half_kernels(type, isa).narrow(values.data(), got.data(), n);
      for (size_t i = 0; i < got.size(); ++i)
        if (!std::isnan(values[i])) {
          ASSERT_EQ(got[i], want[i]) << values[i] << " on " << isa_name(isa);
        }
    }
  }
}

TEST(Half, gemm) {
  struct Case {
    int64_t m, n, k;
    bool residual, after;
    Activation activation;
  };
  const Case cases[] = {{1, 40, 33, false, false, Activation::kNone},      {37, 96, 1500, true, false, Activation::kRelu},
                        {130, 17, 64, true, true, Activation::kSilu},      {600, 70, 5, false, false, Activation::kGeluErf},
                        {16, 1024, 48, true, false, Activation::kTanh},    {3, 5, 0, false, false, Activation::kNone}};
  for (DType type : {DType::kF16, DType::kBF16})
    for (Isa isa : isas())
      for (const Case& t : cases) {
        const Narrow a(type, uniform(t.m * t.k)), r(type, uniform(t.m * t.n, -1, 1, 2));
        std::vector<float> weights = uniform(t.k * t.n, -0.2f, 0.2f, 3), packed(static_cast<size_t>(packed_size(t.k, t.n))), bias = uniform(t.n);
        pack_kn(weights.data(), t.k, t.n, t.n, packed.data());
        const Narrow w(type, packed);
        std::vector<float> wide(static_cast<size_t>(t.m * t.n));
        Gemm g{.m = t.m, .n = t.n, .k = t.k, .a = a.wide.data(), .lda = t.k, .b = w.wide.data(), .c = wide.data(), .ldc = t.n};
        g.epilogue.bias = bias.data();
        g.epilogue.activation = t.activation;
        g.epilogue.residual_after = t.after;
        g.epilogue.ld_residual = t.n;
        if (t.residual) g.epilogue.residual = r.wide.data();
        run_gemm(g, pool(), isa);
        std::vector<uint16_t> got(wide.size());
        g.epilogue.residual = nullptr;
        g.half = type;
        g.half_a = a.bits.data();
        g.half_c = got.data();
        g.half_residual = t.residual ? r.bits.data() : nullptr;
        g.b_type = type;
        g.b = w.bits.data();
        std::vector<char> workspace(gemm_workspace(g, pool().threads()));
        g.workspace = workspace.data();
        run_gemm(g, pool(), isa);
        const std::string what = fmt::format("{}x{}x{} {} {}", t.m, t.n, t.k, isa_name(isa), dtype_name(type));
        expect_close(got, wide, type, what);
        // The same with rows that lie apart, and on the residual.
        const std::vector<uint16_t> apart = spread(a.bits, t.k, 5);
        std::vector<uint16_t> sums = spread(r.bits, t.n, 3);
        g.half_a = apart.data();
        g.lda = t.k + 5;
        g.half_c = sums.data();
        g.ldc = g.epilogue.ld_residual = t.n + 3;
        g.half_residual = t.residual ? sums.data() : nullptr;
        run_gemm(g, pool(), isa);
        expect_rows(sums, got, t.n, 3, what);
      }
}

TEST(Half, conv) {
  struct Case {
    int64_t channels, out, groups, size, kernel, stride;
  };
  // A product, general, grouped, few channels, depthwise.
  const Case cases[] = {{19, 33, 1, 9, 1, 1}, {20, 50, 1, 11, 3, 1}, {18, 36, 3, 8, 3, 2}, {3, 24, 1, 31, 7, 2}, {37, 37, 37, 30, 5, 1}, {24, 24, 24, 9, 3, 2}};
  for (DType type : {DType::kF16, DType::kBF16})
    for (Isa isa : isas())
      for (const Case& t : cases) {
        Conv c;
        c.batch = 2;
        c.in_channels = c.ldx = t.channels;
        c.out_channels = c.ldy = t.out;
        c.groups = t.groups;
        for (int d = 1; d < 3; ++d) {
          c.in[d] = t.size;
          c.kernel[d] = t.kernel;
          c.stride[d] = t.stride;
          c.pad[d] = t.kernel / 2;
          c.out[d] = (t.size + 2 * c.pad[d] - t.kernel) / t.stride + 1;
        }
        const int64_t outputs = c.batch * c.out[1] * c.out[2] * t.out;
        const Narrow x(type, uniform(c.batch * t.size * t.size * t.channels)), r(type, uniform(outputs, -1, 1, 4));
        const std::vector<float> weights = uniform(t.out * t.channels / t.groups * t.kernel * t.kernel, -0.3f, 0.3f, 5), bias = uniform(t.out);
        std::vector<float> packed(static_cast<size_t>(packed_weights_size(c)));
        pack_weights(c, weights.data(), packed.data());
        const Narrow w(type, packed);
        std::vector<float> wide(static_cast<size_t>(outputs));
        c.x = x.wide.data();
        c.w = w.wide.data();
        c.y = wide.data();
        c.epilogue.bias = bias.data();
        c.epilogue.residual = r.wide.data();
        c.epilogue.ld_residual = t.out;
        c.epilogue.activation = Activation::kHardSwish;
        c.epilogue.alpha = 1.f / 6;
        c.epilogue.beta = 0.5f;
        std::vector<char> scratch(conv_workspace(c, pool().threads()));
        run_conv(c, scratch.data(), pool(), isa);
        std::vector<uint16_t> got(wide.size());
        c.epilogue.residual = nullptr;
        c.half = type;
        c.half_x = x.bits.data();
        c.half_y = got.data();
        c.half_residual = r.bits.data();
        if (conv_takes_half_weights(c)) {
          c.w_type = type;
          c.w = w.bits.data();
        }
        scratch.resize(conv_workspace(c, pool().threads()));
        run_conv(c, scratch.data(), pool(), isa);
        const std::string what = fmt::format("{}->{} /{} kernel {} {} {}", t.channels, t.out, t.groups, t.kernel, isa_name(isa), dtype_name(type));
        expect_close(got, wide, type, what);
        // The same with pixels that lie apart, and on the residual.
        const std::vector<uint16_t> apart = spread(x.bits, t.channels, 5);
        std::vector<uint16_t> sums = spread(r.bits, t.out, 3);
        c.half_x = apart.data();
        c.ldx = t.channels + 5;
        c.half_y = sums.data();
        c.half_residual = sums.data();
        c.ldy = c.epilogue.ld_residual = t.out + 3;
        scratch.assign(conv_workspace(c, pool().threads()), 0);
        run_conv(c, scratch.data(), pool(), isa);
        expect_rows(sums, got, t.out, 3, what);
      }
}

}  // namespace
}  // namespace carnot::cpu
