// SPDX-License-Identifier: Apache-2.0
// Plain references in double for the GEMM and convolution tests, with the bound that a float sum of so many terms may
// miss.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "backends/cpu/kernels/gemm/contract.hpp"

namespace carnot::cpu::testing {

inline std::vector<float> random_floats(int64_t n, uint32_t seed) {
  std::mt19937 gen(seed);
  std::uniform_real_distribution<float> dist(-1, 1);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = dist(gen);
  return x;
}

inline std::vector<Isa> isas() {
  std::vector<Isa> list;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
    if (isa <= cpu_features().isa) list.push_back(isa);
  return list;
}

inline double activate_reference(Activation activation, double x, double alpha, double beta) {
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.);
    case Activation::kClip:
      return std::min(std::max(x, alpha), beta);
    case Activation::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kHardSwish:
      return x * std::clamp(x * alpha + beta, 0., 1.);
    case Activation::kHardSigmoid:
      return std::clamp(x * alpha + beta, 0., 1.);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kGeluErf:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.)));
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kQuickGelu:
      return x * sigmoid(1.702 * x);
  }
  return NAN;
}

inline constexpr Activation kAllActivations[] = {
    Activation::kNone,    Activation::kRelu,    Activation::kClip,      Activation::kLeakyRelu,
    Activation::kSigmoid, Activation::kSilu,    Activation::kHardSwish, Activation::kHardSigmoid,
    Activation::kTanh,    Activation::kGeluErf, Activation::kGeluTanh,  Activation::kQuickGelu};

// A sum of products in double beside the sum of their magnitudes.
struct Sum {
  double value = 0, magnitude = 0;
  int64_t terms = 0;
  void add(double a, double b) {
    value += a * b;
    magnitude += std::fabs(a * b);
    ++terms;
  }
  // How far a float sum in any order may be off; activations have slopes of at most about 1.2.
  double bound() const {
    return double(terms + 16) * double(std::numeric_limits<float>::epsilon()) * (magnitude + 1e-3) * 0.75 + 1e-30;
  }
};

}  // namespace carnot::cpu::testing
