// SPDX-License-Identifier: Apache-2.0
// The vocabulary of pointwise.inc for plain numbers: float, double, int32_t, int64_t, uint64_t. Every function is forced inline and
// local to its file, so that files compiled for different instruction sets may include this. Functions that use it stand in this
// namespace too, else ::div and ::abs come first. Integers wrap around: compile with -fwrapv.
#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#define CARNOT_SCALAR template <typename T> [[gnu::always_inline]] static inline T

namespace carnot::pointwise_scalar {

CARNOT_SCALAR select(bool mask, T a, T b) { return mask ? a : b; }
CARNOT_SCALAR min(T a, T b) { return a != a ? a : (b < a || b != b) ? b : a; }
CARNOT_SCALAR max(T a, T b) { return a != a ? a : (a < b || b != b) ? b : a; }
CARNOT_SCALAR abs(T x) {
  if constexpr (std::is_floating_point_v<T>) return ::fabs(x);
  return x < T(0) ? T(0) - x : x;
}
CARNOT_SCALAR div(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a / b;
  if (b == T(0)) return T(0);
  if (std::is_signed_v<T> && b == T(-1)) return T(0) - a;  // the lowest number would trap
  return a / b;
}
// The remainder with the sign of a.
CARNOT_SCALAR fmod(T a, T b) {
  if constexpr (std::is_same_v<T, float>) return ::fmodf(a, b);
  else if constexpr (std::is_same_v<T, double>) return ::fmod(a, b);
  else if (b == T(0) || (std::is_signed_v<T> && b == T(-1))) return T(0);
  else return a % b;
}
// The remainder with the sign of b.
CARNOT_SCALAR mod(T a, T b) {
  const T r = pointwise_scalar::fmod(a, b);
  return r != T(0) && (r < T(0)) != (b < T(0)) ? r + b : r;
}
CARNOT_SCALAR pow(T a, T b) {
  if constexpr (std::is_same_v<T, float>) return ::powf(a, b);
  else if constexpr (std::is_same_v<T, double>) return ::pow(a, b);
  else {
    if (b < T(0)) return a == T(1) ? T(1) : a == T(-1) ? (b % T(2) != T(0) ? T(-1) : T(1)) : T(0);
    // Wraps as unsigned numbers do.
    uint64_t result = 1, base = static_cast<uint64_t>(a);
    for (uint64_t n = static_cast<uint64_t>(b); n != 0; n >>= 1, base *= base)
      if (n & 1) result *= base;
    return static_cast<T>(result);
  }
}
#define CARNOT_LIBM(name)                                                 \
  CARNOT_SCALAR name(T x) {                                               \
    if constexpr (std::is_same_v<T, float>) return ::name##f(x);          \
    else return ::name(x);                                                \
  }
CARNOT_LIBM(floor)
CARNOT_LIBM(ceil)
CARNOT_LIBM(sqrt)
CARNOT_LIBM(exp)
CARNOT_LIBM(expm1)
CARNOT_LIBM(log)
CARNOT_LIBM(log1p)
CARNOT_LIBM(tanh)
CARNOT_LIBM(erf)
CARNOT_LIBM(sin)
CARNOT_LIBM(cos)
CARNOT_LIBM(tan)
CARNOT_LIBM(asin)
CARNOT_LIBM(acos)
CARNOT_LIBM(atan)
CARNOT_LIBM(sinh)
CARNOT_LIBM(cosh)
CARNOT_LIBM(asinh)
CARNOT_LIBM(acosh)
CARNOT_LIBM(atanh)
#undef CARNOT_LIBM
// The rounding mode is never changed in this process, so nearbyint rounds half to even.
CARNOT_SCALAR round(T x) {
  if constexpr (std::is_same_v<T, float>) return ::nearbyintf(x);
  else return ::nearbyint(x);
}
CARNOT_SCALAR bit_and(T a, T b) { return a & b; }
CARNOT_SCALAR bit_or(T a, T b) { return a | b; }
CARNOT_SCALAR bit_xor(T a, T b) { return a ^ b; }
CARNOT_SCALAR bit_not(T x) { return ~x; }
// Amounts below 0 or not below the width give 0 (-1 to the right for a negative number).
CARNOT_SCALAR shift_left(T a, T b) {
  if (b < T(0) || b >= T(sizeof(T) * 8)) return T(0);
  return static_cast<T>(static_cast<uint64_t>(a) << b);
}
CARNOT_SCALAR shift_right(T a, T b) {
  if (b < T(0) || b >= T(sizeof(T) * 8)) return a < T(0) ? T(-1) : T(0);
  return a >> b;
}

}  // namespace carnot::pointwise_scalar
#undef CARNOT_SCALAR
