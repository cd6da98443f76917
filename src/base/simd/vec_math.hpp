// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh, erf and sigmoid of one vector, within a few units in the last place. Included by vec.hpp alone.
// The polynomials are minimax fits (relative error below 6e-9, under half a unit in the last place of a float).
#pragma once

namespace carnot::simd::CARNOT_SIMD_ISA {

// x*c[0] + ... in Horner form: c[0] is the highest power.
template <int kCount>
CARNOT_INLINE F32 polynomial(F32 x, const float (&c)[kCount]) {
  F32 y = set1(c[0]);
#pragma GCC unroll 16
  for (int i = 1; i < kCount; ++i) y = fma(y, x, set1(c[i]));
  return y;
}

// e^x. Overflows to inf, underflows through subnormals to 0, keeps NaN.
CARNOT_INLINE F32 exp(F32 x) {
  // min and max return the second argument for NaN.
  x = max(set1(-104.f), min(set1(89.f), x));
  F32 n = round(x * set1(1.44269504f));
  // ln 2 in two parts; n * 0.693359375 is exact.
  F32 r = fnma(n, set1(0.693359375f), x);
  r = fnma(n, set1(-2.12194440e-4f), r);
  constexpr float kC[] = {1.38146899e-3f, 8.368709731e-3f, 4.166838625e-2f, 1.666652069e-1f, 4.999999345e-1f};
  F32 y = fma(polynomial(r, kC), r * r, r + set1(1.f));
  return scale_by_power(y, n);
}

// Natural logarithm: -inf at 0, NaN below.
CARNOT_INLINE F32 log(F32 x) {
  // Subnormals are brought into the normal range first.
  Mask tiny = lt(x, set1(1.17549435e-38f));
  F32 scaled = select(tiny, x * set1(8388608.f), x);
  I32 b = bits(scaled);
  // e such that the mantissa lies in [sqrt(1/2), sqrt(2)).
  I32 e = shift_right<23>(sub_i32(b, set1_i32(0x3f3504f3)));
  F32 f = from_bits(sub_i32(b, shift_left<23>(e))) - set1(1.f);
  F32 n = to_f32(e) - select(tiny, set1(23.f), zero());
  constexpr float kC[] = {-7.635305426e-2f, 1.276192669e-1f, -1.315987655e-1f, 1.420160048e-1f,
                          -1.662337621e-1f, 2.000124047e-1f, -2.500082092e-1f, 3.333333148e-1f};
  F32 f2 = f * f;
  F32 y = fma(n, set1(-2.12194440e-4f), f2 * f * polynomial(f, kC));
  y = fma(set1(-0.5f), f2, y);
  F32 result = fma(n, set1(0.693359375f), f + y);
  const F32 inf = set1(__builtin_inff());
  result = select(lt(x, inf), result, x);  // inf and NaN pass
  result = select(eq(x, zero()), -inf, result);
  return select(lt(x, zero()), set1(__builtin_nanf("")), result);
}

// 1 / (1 + e^-x)
CARNOT_INLINE F32 sigmoid(F32 x) { return set1(1.f) / (set1(1.f) + exp(-x)); }

CARNOT_INLINE F32 tanh(F32 x) {
  F32 a = abs(x), x2 = x * x;
  constexpr float kC[] = {-5.705098823e-3f, 2.063917356e-2f, -5.373973839e-2f, 1.333144247e-1f, -3.333328195e-1f};
  F32 small = fma(x * x2, polynomial(x2, kC), x);
  F32 large = set1(1.f) - set1(2.f) / (exp(a + a) + set1(1.f));
  return select(lt(a, set1(0.625f)), small, copysign(large, x));
}

// 2/sqrt(pi) times the integral of e^-t^2 from 0 to x.
CARNOT_INLINE F32 erf(F32 x) {
  F32 a = min(set1(4.f), abs(x)), x2 = x * x;  // erf(4) rounds to 1
  constexpr float kSmall[] = {7.855596327e-5f, -8.010706583e-4f, 5.188384989e-3f, -2.685384201e-2f,
                              1.128358589e-1f, -3.76126259e-1f,  1.283791657e-1f};
  F32 small = fma(x, polynomial(x2, kSmall), x);
  constexpr float kLogErfc[] = {-1.862840522e-4f, 2.946779718e-3f, -2.183476862e-2f, 1.031003203e-1f,
                                6.381517397e-1f,  1.127085318f,    3.424104447e-4f};
  F32 large = set1(1.f) - exp(-polynomial(a, kLogErfc));
  return select(lt(a, set1(1.f)), small, copysign(large, x));
}

}  // namespace carnot::simd::CARNOT_SIMD_ISA
