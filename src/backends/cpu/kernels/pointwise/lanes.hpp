// SPDX-License-Identifier: Apache-2.0
// The vocabulary of base/pointwise.inc on one vector of floats (V) and its masks (M). Included by kernel bodies only.
// Functions without a vector form go through libm lane by lane; none of them is common in networks.
#pragma once
#include <cmath>

#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
namespace simd = carnot::simd::CARNOT_SIMD_ISA;
using simd::F32;
using simd::kLanes;
using simd::Mask;

#define CARNOT_FORCE [[gnu::always_inline]]
#define CARNOT_FORCE_LAMBDA __attribute__((always_inline))

struct M {
  Mask m;
};
struct V {
  F32 v;
  V() = default;
  CARNOT_FORCE V(F32 x) : v(x) {}
  CARNOT_FORCE explicit V(float x) : v(simd::set1(x)) {}
  CARNOT_FORCE explicit V(double x) : v(simd::set1(static_cast<float>(x))) {}
  CARNOT_FORCE explicit V(int x) : v(simd::set1(static_cast<float>(x))) {}
};

namespace lanes {
CARNOT_INLINE V operator+(V a, V b) { return a.v + b.v; }
CARNOT_INLINE V operator-(V a, V b) { return a.v - b.v; }
CARNOT_INLINE V operator*(V a, V b) { return a.v * b.v; }
CARNOT_INLINE V operator-(V a) { return -a.v; }
CARNOT_INLINE M operator<(V a, V b) { return {simd::lt(a.v, b.v)}; }
CARNOT_INLINE M operator<=(V a, V b) { return {simd::le(a.v, b.v)}; }
CARNOT_INLINE M operator>(V a, V b) { return {simd::gt(a.v, b.v)}; }
CARNOT_INLINE M operator>=(V a, V b) { return {simd::ge(a.v, b.v)}; }
CARNOT_INLINE M operator==(V a, V b) { return {simd::eq(a.v, b.v)}; }
CARNOT_INLINE M operator!=(V a, V b) { return {simd::ne(a.v, b.v)}; }
CARNOT_INLINE M operator&&(M a, M b) { return {simd::mask_and(a.m, b.m)}; }
CARNOT_INLINE M operator||(M a, M b) { return {simd::mask_or(a.m, b.m)}; }
CARNOT_INLINE V select(M m, V a, V b) { return simd::select(m.m, a.v, b.v); }

// simd::min and max give their second argument if either is NaN.
CARNOT_INLINE V min(V a, V b) { return select(a != a, a, V(simd::min(a.v, b.v))); }
CARNOT_INLINE V max(V a, V b) { return select(a != a, a, V(simd::max(a.v, b.v))); }
CARNOT_INLINE V abs(V x) { return simd::abs(x.v); }
CARNOT_INLINE V floor(V x) { return simd::floor(x.v); }
CARNOT_INLINE V ceil(V x) { return simd::ceil(x.v); }
CARNOT_INLINE V round(V x) { return simd::round(x.v); }
CARNOT_INLINE V sqrt(V x) { return simd::sqrt(x.v); }
CARNOT_INLINE V div(V a, V b) { return a.v / b.v; }
CARNOT_INLINE V exp(V x) { return simd::exp(x.v); }
CARNOT_INLINE V log(V x) { return simd::log(x.v); }
CARNOT_INLINE V tanh(V x) { return simd::tanh(x.v); }
CARNOT_INLINE V erf(V x) { return simd::erf(x.v); }

// log(1 + x) loses x's low bits in 1 + x; the quotient puts them back.
CARNOT_INLINE V log1p(V x) {
  const V u = x + V(1), d = u - V(1);
  const V y = select(d == V(0), x, log(u) * div(x, d));
  return select(x == V(INFINITY), x, y);
}
// Taylor near 0, where e^x - 1 cancels.
CARNOT_INLINE V expm1(V x) {
  constexpr float kC[] = {1.f / 5040, 1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 0.5f};
  const V small = simd::fma(simd::polynomial(x.v, kC), x.v * x.v, x.v);
  return select(abs(x) < V(0.35), small, exp(x) - V(1));
}

template <typename Fn>
CARNOT_INLINE V per_lane(V x, Fn fn) {
  alignas(64) float t[kLanes];
  simd::store(t, x.v);
  for (int i = 0; i < kLanes; ++i) t[i] = fn(t[i]);
  return simd::load(t);
}
template <typename Fn>
CARNOT_INLINE V per_lane(V a, V b, Fn fn) {
  alignas(64) float t[kLanes], u[kLanes];
  simd::store(t, a.v);
  simd::store(u, b.v);
  for (int i = 0; i < kLanes; ++i) t[i] = fn(t[i], u[i]);
  return simd::load(t);
}

// Exponents that networks use have exact forms; the rest is libm's.
CARNOT_INLINE V pow(V a, V b) {
  auto all = [&](float e) CARNOT_FORCE_LAMBDA { return simd::all(simd::eq(b.v, simd::set1(e))); };
  if (all(2.f)) return a * a;
  if (all(3.f)) return a * a * a;
  if (all(0.5f)) return abs(sqrt(a));
  if (all(1.f)) return a;
  if (all(-1.f)) return div(V(1), a);
  return per_lane(a, b, [](float x, float y) CARNOT_FORCE_LAMBDA { return ::powf(x, y); });
}
CARNOT_INLINE V fmod(V a, V b) {
  return per_lane(a, b, [](float x, float y) CARNOT_FORCE_LAMBDA { return ::fmodf(x, y); });
}
CARNOT_INLINE V mod(V a, V b) {
  const V r = fmod(a, b);
  const M differ = ((r < V(0)) && (b >= V(0))) || ((r > V(0)) && (b < V(0)));
  return select(differ, r + b, r);
}

// x = n * pi/2 + r; pi/2 in three parts whose products with n are exact up to |x| = 8192.
CARNOT_INLINE V sin_or_cos(V x, bool cosine) {
  const V n = round(x * V(0.63661977236758134308));
  V r = x - n * V(1.5703125);
  r = r - n * V(4.837512969970703125e-4);
  r = r - n * V(7.549789954891882e-8);
  const V r2 = r * r;
  constexpr float kSin[] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
  constexpr float kCos[] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
  const V s = simd::fma(r.v * r2.v, simd::polynomial(r2.v, kSin), r.v);
  const V c = simd::fma(r2.v * r2.v, simd::polynomial(r2.v, kCos), (V(1) - V(0.5) * r2).v);
  const V shifted = cosine ? n + V(1) : n;
  const V q = shifted - V(4) * floor(shifted * V(0.25));
  const V y = select((q == V(1)) || (q == V(3)), c, s);
  return select(q >= V(2), -y, y);
}
CARNOT_INLINE V sin(V x) {
  if (simd::all(simd::le(simd::abs(x.v), simd::set1(8192.f)))) return sin_or_cos(x, false);
  return per_lane(x, [](float t) CARNOT_FORCE_LAMBDA { return ::sinf(t); });
}
CARNOT_INLINE V cos(V x) {
  if (simd::all(simd::le(simd::abs(x.v), simd::set1(8192.f)))) return sin_or_cos(x, true);
  return per_lane(x, [](float t) CARNOT_FORCE_LAMBDA { return ::cosf(t); });
}
#define CARNOT_PER_LANE(name) \
  CARNOT_INLINE V name(V x) { return per_lane(x, [](float t) CARNOT_FORCE_LAMBDA { return ::name##f(t); }); }
CARNOT_PER_LANE(tan)
CARNOT_PER_LANE(asin)
CARNOT_PER_LANE(acos)
CARNOT_PER_LANE(atan)
CARNOT_PER_LANE(sinh)
CARNOT_PER_LANE(cosh)
CARNOT_PER_LANE(asinh)
CARNOT_PER_LANE(acosh)
CARNOT_PER_LANE(atanh)
#undef CARNOT_PER_LANE
}  // namespace lanes

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
