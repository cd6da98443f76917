// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/cpu_features.hpp"
#include "vec_table.hpp"

namespace carnot::simd {
namespace sse2 {
extern const VecTable kVecTable;
}
namespace avx2 {
extern const VecTable kVecTable;
}
namespace avx512 {
extern const VecTable kVecTable;
}

namespace {

const float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<const VecTable*> tables() {
  std::vector<const VecTable*> t{&sse2::kVecTable};
  if (cpu_features().isa >= Isa::kAvx2) t.push_back(&avx2::kVecTable);
  if (cpu_features().isa >= Isa::kAvx512) t.push_back(&avx512::kVecTable);
  return t;
}

// Distance from the true value in units in the last place of the float nearest to it.
double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  const float nearest = float(want);
  if (std::isinf(nearest)) return got == nearest ? 0 : 1e9;
  const double ulp = std::max(double(std::nextafter(std::fabs(nearest), kInf)) - std::fabs(nearest),
                              double(std::numeric_limits<float>::denorm_min()));
  return std::fabs(double(got) - want) / ulp;
}

std::vector<float> range(float lo, float hi, int n) {
  std::vector<float> x;
  for (int i = 0; i <= n; ++i) x.push_back(lo + (hi - lo) * float(i) / float(n));
  return x;
}
// Magnitudes over the whole exponent range.
std::vector<float> geometric(bool negative) {
  std::vector<float> x;
  for (double v = 1e-44; v < 3e38; v *= 1.0037) {
    x.push_back(float(v));
    if (negative) x.push_back(float(-v));
  }
  return x;
}

void check(VecTable::Unary VecTable::*op, double (*reference)(double), std::vector<float> x, double bound) {
  for (float special : {0.f, -0.f, kInf, -kInf, kNan}) x.push_back(special);
  for (const VecTable* t : tables()) {
    std::vector<float> y(x.size() + 1, 7.f);
    (t->*op)(x.data(), y.data(), int64_t(x.size()));
    EXPECT_EQ(y.back(), 7.f) << "wrote past the end, lanes " << t->lanes;
    double worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < x.size(); ++i)
      if (double u = ulps(y[i], reference(double(x[i]))); u > worst) worst = u, at = i;
    EXPECT_LE(worst, bound) << "lanes " << t->lanes << ", x = " << x[at] << ", got " << y[at] << ", want "
                            << reference(double(x[at]));
  }
}

TEST(Vec, Exp) {
  auto x = range(-110.f, 100.f, 200003);
  check(&VecTable::exp, std::exp, x, 1.5);
}
TEST(Vec, ExpIsOneAtZero) { check(&VecTable::exp, std::exp, geometric(true), 1.5); }
TEST(Vec, Log) { check(&VecTable::log, std::log, geometric(true), 1.5); }
TEST(Vec, LogNearOne) { check(&VecTable::log, std::log, range(0.5f, 2.f, 100003), 1.5); }
TEST(Vec, Tanh) {
  check(&VecTable::tanh, std::tanh, range(-12.f, 12.f, 200003), 2.5);
  check(&VecTable::tanh, std::tanh, geometric(true), 2.5);
}
TEST(Vec, Erf) {
  check(&VecTable::erf, std::erf, range(-6.f, 6.f, 200003), 2.5);
  check(&VecTable::erf, std::erf, geometric(true), 2.5);
}
TEST(Vec, Sigmoid) {
  check(
      &VecTable::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, range(-87.f, 90.f, 200003), 3);
}
TEST(Vec, Rounding) {
  auto x = range(-9.f, 9.f, 36 * 8);
  for (float v : {8388607.5f, -8388607.5f, 8388608.f, 1e10f, -1e10f, 4194303.75f}) x.push_back(v);
  check(&VecTable::round, std::nearbyint, x, 0);
  check(&VecTable::floor, std::floor, x, 0);
  check(&VecTable::ceil, std::ceil, x, 0);
  check(&VecTable::trunc, std::trunc, x, 0);
}
TEST(Vec, Sqrt) { check(&VecTable::sqrt, std::sqrt, geometric(false), 0.5000001); }

TEST(Vec, LanesMasksAndReductions) {
  for (const VecTable* t : tables()) {
    SCOPED_TRACE(t->lanes);
    std::vector<float> x(40), y(40);
    std::vector<int32_t> index(40);
    for (int i = 0; i < 40; ++i) x[i] = float((i * 7) % 11) - 5.f, index[i] = (i * 5) % 40;
    for (int n = 0; n < 40; ++n) {
      float want = 0;
      for (int i = 0; i < n; ++i) want += x[i];
      EXPECT_EQ(t->sum(x.data(), n), want);
    }
    float hi = -99, lo = 99;
    for (int i = 0; i < t->lanes; ++i) hi = std::max(hi, x[i]), lo = std::min(lo, x[i]);
    EXPECT_EQ(t->largest(x.data()), hi);
    EXPECT_EQ(t->smallest(x.data()), lo);
    for (int n = 0; n <= t->lanes + 3; ++n) {
      std::fill(y.begin(), y.end(), 9.f);
      t->masked(x.data(), y.data(), n);
      for (int i = 0; i < 40; ++i) EXPECT_EQ(y[i], i < std::min(n, t->lanes) ? x[i] : 9.f);
    }
    std::vector<float> b(40, 0.f);
    b[1] = kNan;
    t->select_less(x.data(), b.data(), y.data());
    for (int i = 0; i < t->lanes; ++i) EXPECT_EQ(y[i], x[i] < b[i] ? 1.f : 0.f);
    t->max_zero(b.data(), y.data());
    EXPECT_TRUE(std::isnan(y[1]));
    t->gather(x.data(), index.data(), y.data());
    for (int i = 0; i < t->lanes; ++i) EXPECT_EQ(y[i], x[size_t(index[i])]);
  }
}

}  // namespace
}  // namespace carnot::simd
