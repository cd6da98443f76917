// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/softmax/softmax.hpp"

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

// One row or column, in double.
void reference(std::vector<double>& t, bool log) {
  double top = -INFINITY, sum = 0;
  for (double x : t) top = std::max(top, x);
  for (double x : t) sum += std::exp(x - top);
  for (double& x : t) x = log ? x - top - std::log(sum) : std::exp(x - top) / sum;
}

TEST(SoftmaxKernels, Rows) {
  for (Isa isa : isas())
    for (bool log : {false, true})
      for (int64_t cols : {0, 1, 7, 16, 31, 33, 128, 1000})
        for (int64_t rows : {0, 1, 6}) {
          const int64_t ld = cols + 3;
          const auto x = uniform(rows * ld, -20, 20);
          std::vector<float> got(x.size(), 5.f);
          run_softmax({.rows = rows, .cols = cols, .in = x.data(), .out = got.data(), .ld_in = ld, .ld_out = ld, .scale = 0.7f, .log = log}, pool(), isa);
          std::vector<double> want(x.size(), 5.0);
          for (int64_t r = 0; r < rows; ++r) {
            std::vector<double> t;
            for (int64_t c = 0; c < cols; ++c) t.push_back(double(x[static_cast<size_t>(r * ld + c)]) * double(0.7f));
            reference(t, log);
            std::copy(t.begin(), t.end(), want.begin() + r * ld);
          }
          expect_near(got, want, log ? 2e-6 : 1e-6, isa_name(isa).data());
        }
}

TEST(SoftmaxKernels, MaskIsBroadcast) {
  const int64_t b = 2, h = 3, q = 4, k = 21;
  const auto x = uniform(b * h * q * k, -3, 3);
  auto mask = uniform(b * q * k, -1, 1, 2);
  for (size_t i = 0; i < mask.size(); i += 5) mask[i] = -INFINITY;
  for (Isa isa : isas()) {
    std::vector<float> got = x;  // in place
    run_softmax({.rows = b * h * q, .cols = k, .in = got.data(), .out = got.data(), .ld_in = k, .ld_out = k, .scale = 0.5f, .mask = mask.data(),
                 .row_dims = {b, h, q}, .mask_strides = {q * k, 0, k}}, pool(), isa);
    std::vector<double> want;
    for (int64_t r = 0; r < b * h * q; ++r) {
      std::vector<double> t;
      for (int64_t c = 0; c < k; ++c)
        t.push_back(0.5 * x[static_cast<size_t>(r * k + c)] + mask[static_cast<size_t>((r / (h * q) * q + r % q) * k + c)]);
      reference(t, false);
      want.insert(want.end(), t.begin(), t.end());
    }
    expect_near(got, want, 1e-6, isa_name(isa).data());
  }
}

TEST(SoftmaxKernels, AnyAxis) {
  for (Isa isa : isas())
    for (bool log : {false, true})
      for (auto [outer, axis, inner] : {std::tuple<int64_t, int64_t, int64_t>{2, 5, 7}, {1, 19, 64}, {3, 1, 70}, {2, 6, 1}, {1, 0, 4}, {2, 3, 0}, {1, 21, 333}}) {
        const auto x = uniform(outer * axis * inner, -9, 9);
        std::vector<float> got(x.size());
        run_softmax_axis(x.data(), got.data(), outer, axis, inner, log, pool(), isa);
        std::vector<double> want(x.size());
        for (int64_t o = 0; o < outer; ++o)
          for (int64_t i = 0; i < inner; ++i) {
            std::vector<double> t;
            for (int64_t a = 0; a < axis; ++a) t.push_back(x[static_cast<size_t>((o * axis + a) * inner + i)]);
            reference(t, log);
            for (int64_t a = 0; a < axis; ++a) want[static_cast<size_t>((o * axis + a) * inner + i)] = t[static_cast<size_t>(a)];
          }
        expect_near(got, want, 1e-6, isa_name(isa).data());
      }
}

TEST(SoftmaxKernels, AllMaskedIsNaN) {
  const std::vector<float> x(20, -INFINITY);
  for (Isa isa : isas()) {
    std::vector<float> got(20);
    run_softmax_axis(x.data(), got.data(), 1, 20, 1, false, pool(), isa);
    for (float y : got) EXPECT_TRUE(std::isnan(y));
  }
}

}  // namespace
}  // namespace carnot::cpu::testing
