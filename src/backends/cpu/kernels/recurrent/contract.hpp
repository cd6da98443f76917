// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot::cpu {

// One step of one sequence from the sums of its gates, n numbers each, one gate behind the other.
struct RecurrentTable {
  // gates i, o, f, c: c = f*c + i*tanh(g), h = o*tanh(c).
  void (*lstm)(const float* gates, float* c, float* h, int64_t n);
  // gates z, r, n from x and from h apart: h = n + z*(before - n) with n = tanh(x_n + r*h_n).
  void (*gru)(const float* from_x, const float* from_h, const float* before, float* h, int64_t n);
};
const RecurrentTable& recurrent_table(Isa isa);

}  // namespace carnot::cpu
