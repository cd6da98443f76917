// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/reduce/reduce.hpp"

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

std::vector<double> reference(Reduction r, const std::vector<float>& x, const Dims& dims, const std::vector<int64_t>& axes) {
  Dims kept = dims;
  for (int64_t a : axes) kept[size_t(a)] = 1;
  const Dims strides = strides_of(kept);
  std::vector<std::vector<double>> terms(size_t(size_of(kept)));
  for (size_t i = 0; i < x.size(); ++i) {
    size_t rest = i;
    int64_t o = 0;
    for (size_t k = dims.size(); k-- > 0;) {
      if (kept[k] != 1) o += int64_t(rest % size_t(dims[k])) * strides[k];
      rest /= size_t(dims[k]);
    }
    terms[size_t(o)].push_back(x[i]);
  }
  std::vector<double> out;
  for (const auto& list : terms) {
    double sum = 0, abs = 0, square = 0, prod = 1, max = -INFINITY, min = INFINITY, exps = 0;
    for (double v : list) sum += v, abs += std::fabs(v), square += v * v, prod *= v, max = std::max(max, v), min = std::min(min, v), exps += std::exp(v);
    const double all[] = {sum, sum / double(list.size()), max, min, prod, abs, std::sqrt(square), square, std::log(sum), std::log(exps)};
    out.push_back(all[int(r)]);
  }
  return out;
}

TEST(ReduceKernels, EverySetOfAxes) {
  const std::vector<Dims> shapes = {{}, {1}, {33}, {2, 3}, {4, 70}, {70, 4}, {3, 5, 7}, {2, 1, 129}, {2, 65, 3}, {3, 4, 2, 19}, {2, 3, 0, 2}, {20001}, {1500, 20}, {2, 3, 2, 3, 2}};
  for (const Dims& dims : shapes)
    for (unsigned set = 0; set < 1u << dims.size(); ++set) {
      std::vector<int64_t> axes;
      for (size_t i = 0; i < dims.size(); ++i)
        if (set >> i & 1) axes.push_back(int64_t(i));
      for (const char* name : {"sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp"}) {
        const Reduction r = *parse_reduction(name);
        const bool positive = r == Reduction::kLogSum || r == Reduction::kProd;
        const auto x = uniform(size_of(dims), positive ? 0.99f : -1.f, positive ? 1.01f : 1.f);
        const auto want = reference(r, x, dims, axes);
        for (Isa isa : isas()) {
          std::vector<float> got(want.size());
          ASSERT_TRUE(run_reduce(r, x.data(), got.data(), dims, axes, pool(), isa).ok());
          expect_near(got, want, r == Reduction::kProd ? 1e-5 : 3e-6, fmt::format("{} {} set {} {}", name, to_string(dims), set, isa_name(isa)));
        }
      }
    }
}

TEST(ReduceKernels, LargeValuesAndNaN) {
  for (Isa isa : isas()) {
    std::vector<float> x(100, 200.f);
    const int64_t axis = 0, last = 1;
    float y = 0;
    ASSERT_TRUE(run_reduce(Reduction::kLogSumExp, x.data(), &y, {100}, {&axis, 1}, pool(), isa).ok());
    EXPECT_NEAR(y, 200 + std::log(100.0), 1e-3);
    ASSERT_TRUE(run_reduce(Reduction::kLogSumExp, x.data(), &y, {100, 1}, {&axis, 1}, pool(), isa).ok());
    EXPECT_NEAR(y, 200 + std::log(100.0), 1e-3);
    for (size_t at : {0, 16, 50, 99}) {
      std::vector<float> z(200, 1.f), out(100);
      z[at] = NAN;
      for (Reduction r : {Reduction::kMax, Reduction::kMin, Reduction::kSum}) {
        ASSERT_TRUE(run_reduce(r, z.data(), out.data(), {2, 100}, {&last, 1}, pool(), isa).ok());
        EXPECT_TRUE(std::isnan(out[0]) && out[1] == (r == Reduction::kSum ? 100.f : 1.f)) << at;
        ASSERT_TRUE(run_reduce(r, z.data(), out.data(), {2, 100}, {&axis, 1}, pool(), isa).ok());
        EXPECT_TRUE(std::isnan(out[at]) && !std::isnan(out[at == 5 ? 6 : 5])) << at;
      }
    }
  }
}

TEST(ReduceKernels, RefusesWrongAxes) {
  float x[4] = {}, y[4];
  const int64_t twice[] = {0, 0}, outside[] = {2};
  EXPECT_FALSE(run_reduce(Reduction::kSum, x, y, {2, 2}, twice, pool()).ok());
  EXPECT_FALSE(run_reduce(Reduction::kSum, x, y, {2, 2}, outside, pool()).ok());
  EXPECT_FALSE(parse_reduction("median").has_value());
}

}  // namespace
}  // namespace carnot::cpu::testing
