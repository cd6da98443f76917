// SPDX-License-Identifier: Apache-2.0
// Applies each function of base/simd to arrays; compiled once per instruction set.
#include "base/simd/vec.hpp"
#include "vec_table.hpp"

namespace carnot::simd::CARNOT_SIMD_ISA {

template <typename Op>
[[gnu::always_inline]] inline void map(const float* x, float* y, int64_t n, const Op& op) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, op(load(x + i)));
  if (i < n) store_n(y + i, op(load_n(x + i, n - i)), n - i);
}

#define CARNOT_UNARY(name)                                      \
  static void name##_all(const float* x, float* y, int64_t n) { \
    map(x, y, n, [](F32 v) { return name(v); });                \
  }
CARNOT_UNARY(exp)
CARNOT_UNARY(log)
CARNOT_UNARY(tanh)
CARNOT_UNARY(erf)
CARNOT_UNARY(sigmoid)
CARNOT_UNARY(round)
CARNOT_UNARY(floor)
CARNOT_UNARY(ceil)
CARNOT_UNARY(trunc)
CARNOT_UNARY(sqrt)
#undef CARNOT_UNARY

static float sum(const float* x, int64_t n) {
  F32 s = zero();
  for (int64_t i = 0; i < n; i += kLanes) s = s + load_n(x + i, n - i);
  return reduce_add(s);
}
static float largest(const float* x) { return reduce_max(load(x)); }
static float smallest(const float* x) { return reduce_min(load(x)); }
static void masked(const float* x, float* y, int64_t n) { store_mask(y, load_mask(x, mask_first(n)), mask_first(n)); }
static void select_less(const float* a, const float* b, float* y) {
  store(y, select(lt(load(a), load(b)), set1(1.f), zero()));
}
static void max_zero(const float* a, float* y) { store(y, max(zero(), load(a))); }
static void gather_all(const float* p, const int32_t* index, float* y) { store(y, gather(p, load_i32(index))); }

extern const VecTable kVecTable;
const VecTable kVecTable = {kLanes,    exp_all,   log_all,  tanh_all,    erf_all,  sigmoid_all,
                            round_all, floor_all, ceil_all, trunc_all,   sqrt_all, sum,
                            largest,   smallest,  masked,   select_less, max_zero, gather_all};

}  // namespace carnot::simd::CARNOT_SIMD_ISA
