// SPDX-License-Identifier: Apache-2.0
// The discrete Fourier sum, by its definition.
#pragma once
#include <complex>
#include <span>
#include <vector>

namespace carnot::ops {

// y[k] = sum over n of x[n] * exp(-2 pi i k n / N) for N = x.size(); with `inverse` the conjugate exponent, divided by
// N.
std::vector<std::complex<double>> fourier(std::span<const std::complex<double>> x, bool inverse);

}  // namespace carnot::ops
