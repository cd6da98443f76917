// SPDX-License-Identifier: Apache-2.0
#include "ops/support_fourier.hpp"

#include <numbers>

namespace carnot::ops {

std::vector<std::complex<double>> fourier(std::span<const std::complex<double>> x, bool inverse) {
  const size_t n = x.size();
  std::vector<std::complex<double>> turn(n), y(n);
  for (size_t k = 0; k < n; ++k)
    turn[k] = std::polar(1.0, (inverse ? 2 : -2) * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < n; ++i) y[k] += x[i] * turn[k * i % n];
    if (inverse) y[k] /= static_cast<double>(n);
  }
  return y;
}

}  // namespace carnot::ops
