// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/recurrent/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
void lstm(const float* gates, float* c, float* h, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = mask_first(n - i < kLanes ? n - i : kLanes);
    const F32 in = sigmoid(load_mask(gates + i, m)), out = sigmoid(load_mask(gates + n + i, m));
    const F32 forget = sigmoid(load_mask(gates + 2 * n + i, m)), fresh = tanh(load_mask(gates + 3 * n + i, m));
    const F32 cell = fma(forget, load_mask(c + i, m), in * fresh);
    store_mask(c + i, cell, m);
    store_mask(h + i, out * tanh(cell), m);
  }
}

void gru(const float* from_x, const float* from_h, const float* before, float* h, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = mask_first(n - i < kLanes ? n - i : kLanes);
    const F32 z = sigmoid(load_mask(from_x + i, m) + load_mask(from_h + i, m));
    const F32 r = sigmoid(load_mask(from_x + n + i, m) + load_mask(from_h + n + i, m));
    const F32 fresh = tanh(fma(r, load_mask(from_h + 2 * n + i, m), load_mask(from_x + 2 * n + i, m)));
    store_mask(h + i, fma(z, load_mask(before + i, m) - fresh, fresh), m);
  }
}
}  // namespace

void fill_recurrent_table(RecurrentTable& t) { t = {&lstm, &gru}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
