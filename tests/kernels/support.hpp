// SPDX-License-Identifier: Apache-2.0
// What the tests of kernel families share.
#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/cpu_features.hpp"
#include "base/threads.hpp"

namespace carnot::cpu::testing {

// The instruction sets that this processor can run.
inline std::vector<Isa> isas() {
  std::vector<Isa> out;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
    if (isa <= cpu_features().isa) out.push_back(isa);
  return out;
}

inline ThreadPool& pool() {
  static ThreadPool p(2);
  return p;
}

inline std::vector<float> uniform(int64_t n, float low = -1, float high = 1, unsigned seed = 1) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> d(low, high);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = d(rng);
  return out;
}

inline void expect_near(const std::vector<float>& got, const std::vector<double>& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << what << " at " << i;
    } else if (std::isinf(want[i])) {
      ASSERT_EQ(double(got[i]), want[i]) << what << " at " << i;
    } else {
      ASSERT_NEAR(got[i], want[i], tolerance * std::max(1.0, std::fabs(want[i]))) << what << " at " << i;
    }
  }
}

}  // namespace carnot::cpu::testing
