// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.

#include "backends/cpu/kernels/pointwise/contract.hpp"
#include "backends/cpu/kernels/pointwise/lanes.hpp"
#include "base/pointwise_scalar.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {

// ---- rows on floats (and bools, held as 0.0f and 1.0f) ---------------------------------------------------------------------
namespace lanes {
CARNOT_INLINE F32 to_lanes(V x) { return x.v; }
CARNOT_INLINE F32 to_lanes(M m) { return simd::select(m.m, simd::set1(1.f), simd::zero()); }

template <PointwiseOp kOp>
struct FloatRow;
#define CARNOT_POINTWISE(id, name, arity, types, result, p0, d0, p1, d1, onnx, since, ...)                                   \
  template <>                                                                                                                \
  struct FloatRow<PointwiseOp::k##id> {                                                                                      \
    template <typename T>                                                                                                    \
    CARNOT_FORCE static F32 one(T a, [[maybe_unused]] T b, [[maybe_unused]] T c, [[maybe_unused]] T alpha,                   \
                                [[maybe_unused]] T beta) {                                                                   \
      [[maybe_unused]] const T x = a;                                                                                        \
      return to_lanes(__VA_ARGS__);                                                                                          \
    }                                                                                                                        \
  };
#include "base/pointwise.inc"

template <PointwiseOp kOp, int kArity>
static void run_floats(const void* pa, const void* pb, const void* pc, void* out, int64_t n, float alpha, float beta) {
  const float *a = static_cast<const float*>(pa), *b = static_cast<const float*>(pb), *c = static_cast<const float*>(pc);
  float* y = static_cast<float*>(out);
  const V va(alpha), vb(beta);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    simd::store(y + i, FloatRow<kOp>::one(V(simd::load(a + i)), kArity > 1 ? V(simd::load(b + i)) : V(0),
                                          kArity > 2 ? V(simd::load(c + i)) : V(0), va, vb));
  if (i == n) return;
  const Mask m = simd::mask_first(n - i);
  simd::store_mask(y + i, FloatRow<kOp>::one(V(simd::load_mask(a + i, m)), kArity > 1 ? V(simd::load_mask(b + i, m)) : V(0),
                                             kArity > 2 ? V(simd::load_mask(c + i, m)) : V(0), va, vb), m);
}
}  // namespace lanes

}  // namespace carnot::cpu::CARNOT_SIMD_ISA

// ---- rows on integers: plain loops, which the compiler vectorises ----------------------------------------------------------
namespace carnot::pointwise_scalar {
namespace CARNOT_SIMD_ISA {

template <PointwiseOp kOp, typename T>
struct IntegerRow;
#define CARNOT_POINTWISE(id, name, arity, types, result, p0, d0, p1, d1, onnx, since, ...)                               \
  template <typename T>                                                                                                  \
  struct IntegerRow<PointwiseOp::k##id, T> {                                                                             \
    using Out = std::conditional_t<pointwise_row(PointwiseOp::k##id).gives_bool, float, T>;                              \
    static void run(const void* pa, [[maybe_unused]] const void* pb, [[maybe_unused]] const void* pc, void* out,         \
                    int64_t n, [[maybe_unused]] float fa, [[maybe_unused]] float fb) {                                   \
      [[maybe_unused]] const T alpha = static_cast<T>(fa), beta = static_cast<T>(fb);                                    \
      Out* y = static_cast<Out*>(out);                                                                                   \
      for (int64_t i = 0; i < n; ++i) {                                                                                  \
        const T a = static_cast<const T*>(pa)[i];                                                                        \
        [[maybe_unused]] const T x = a, b = arity > 1 ? static_cast<const T*>(pb)[i] : T(0),                             \
                                 c = arity > 2 ? static_cast<const T*>(pc)[i] : T(0);                                    \
        y[i] = static_cast<Out>(__VA_ARGS__);                                                                            \
      }                                                                                                                  \
    }                                                                                                                    \
  };
#include "base/pointwise.inc"
// where: the condition is a bool register.
template <typename T>
static void run_where(const void* pa, const void* pb, const void* pc, void* out, int64_t n, float, float) {
  const float* mask = static_cast<const float*>(pa);
  const T *b = static_cast<const T*>(pb), *c = static_cast<const T*>(pc);
  T* y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = mask[i] != 0.f ? b[i] : c[i];
}

template <PointwiseOp kOp>
void fill_integers(cpu::PointwiseTable& table) {
  if constexpr ((pointwise_row(kOp).types & kPointwiseIntegers) != 0) {
    auto& row = table.rows[static_cast<int>(kOp)];
    if constexpr (kOp == PointwiseOp::kWhere) {
      row[static_cast<int>(cpu::Lane::kI32)] = &run_where<int32_t>;
      row[static_cast<int>(cpu::Lane::kI64)] = &run_where<int64_t>;
    } else {
      row[static_cast<int>(cpu::Lane::kI32)] = &IntegerRow<kOp, int32_t>::run;
      row[static_cast<int>(cpu::Lane::kI64)] = &IntegerRow<kOp, int64_t>::run;
    }
  }
}

}  // namespace CARNOT_SIMD_ISA
}  // namespace carnot::pointwise_scalar

namespace carnot::cpu::CARNOT_SIMD_ISA {

// ---- conversions -----------------------------------------------------------------------------------------------------------
namespace {
// Bit patterns of f16 and bf16, without branches so that the loops below vectorise.
struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};
struct Bool {
  uint8_t byte;
};
CARNOT_INLINE float as_float(uint32_t u) { return __builtin_bit_cast(float, u); }
CARNOT_INLINE uint32_t as_bits(float f) { return __builtin_bit_cast(uint32_t, f); }

CARNOT_INLINE float widen(Half h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000u) << 16, magnitude = h.bits & 0x7fffu;
  // Scaling by 2^112 re-biases the exponent and normalises subnormals.
  const uint32_t finite = as_bits(as_float(magnitude << 13) * as_float(0x77800000u));
  return as_float(sign | (magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : finite));
}
CARNOT_INLINE Half narrow_half(float f) {
  const uint32_t word = as_bits(f), sign = (word >> 16) & 0x8000u, x = word & 0x7fffffffu;
  const uint32_t special = x > 0x7f800000u ? 0x7e00u : 0x7c00u;
  // Adding 0.5 lets the addition round at the last bit of a subnormal.
  const uint32_t subnormal = as_bits(as_float(x) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (x + 0xc8000fffu + ((x >> 13) & 1)) >> 13;
  return {uint16_t(sign | (x >= 0x47800000u ? special : x < 0x38800000u ? subnormal : normal))};
}
CARNOT_INLINE float widen(Brain b) { return as_float(uint32_t(b.bits) << 16); }
CARNOT_INLINE Brain narrow_brain(float f) {
  const uint32_t word = as_bits(f);
  const uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1)) >> 16, quiet = (word >> 16) | 0x40u;
  return {uint16_t((word & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
}

template <DType kType>
struct Memory;  // type in memory, type in a register, and the way in and out
#define CARNOT_MEMORY(dtype, Element, Register, in, out)              \
  template <>                                                         \
  struct Memory<DType::dtype> {                                       \
    using E = Element;                                                \
    using R = Register;                                               \
    CARNOT_FORCE static R load(E e) { return in; }                    \
    CARNOT_FORCE static E store(R r) { return out; }                  \
  };
CARNOT_MEMORY(kF32, float, float, e, r)
CARNOT_MEMORY(kF16, Half, float, widen(e), narrow_half(r))
CARNOT_MEMORY(kBF16, Brain, float, widen(e), narrow_brain(r))
CARNOT_MEMORY(kI32, int32_t, int32_t, e, r)
CARNOT_MEMORY(kI16, int16_t, int32_t, e, int16_t(r))
CARNOT_MEMORY(kU16, uint16_t, int32_t, e, uint16_t(r))
CARNOT_MEMORY(kI8, int8_t, int32_t, e, int8_t(r))
CARNOT_MEMORY(kU8, uint8_t, int32_t, e, uint8_t(r))
CARNOT_MEMORY(kI64, int64_t, int64_t, e, r)
CARNOT_MEMORY(kU32, uint32_t, int64_t, e, uint32_t(r))
CARNOT_MEMORY(kBool, Bool, float, e.byte != 0 ? 1.f : 0.f, Bool{uint8_t(r != 0.f)})
#undef CARNOT_MEMORY

template <DType kType>
void load_run(const void* from, void* to, int64_t n) {
  using X = Memory<kType>;
  const auto* p = static_cast<const typename X::E*>(from);
  auto* r = static_cast<typename X::R*>(to);
  for (int64_t i = 0; i < n; ++i) r[i] = X::load(p[i]);
}
template <DType kType>
void load_strided(const void* from, int64_t stride, void* to, int64_t n) {
  using X = Memory<kType>;
  const auto* p = static_cast<const typename X::E*>(from);
  auto* r = static_cast<typename X::R*>(to);
  if (stride == 0) {
    const auto value = X::load(p[0]);
    for (int64_t i = 0; i < n; ++i) r[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) r[i] = X::load(p[i * stride]);
  }
}
template <DType kType>
void store_run(const void* from, void* to, int64_t n) {
  using X = Memory<kType>;
  const auto* r = static_cast<const typename X::R*>(from);
  auto* p = static_cast<typename X::E*>(to);
  for (int64_t i = 0; i < n; ++i) p[i] = X::store(r[i]);
}

template <Lane kLane>
struct LaneType {
  using T = float;
};
template <>
struct LaneType<Lane::kI32> {
  using T = int32_t;
};
template <>
struct LaneType<Lane::kI64> {
  using T = int64_t;
};

// Register to register. Floats go to integers towards zero, saturating at 64 bits, NaN to 0; then the dtype's low bits.
template <typename To, typename From>
CARNOT_INLINE To convert(From x) {
  if constexpr (std::is_same_v<From, float> && !std::is_same_v<To, float>) {
    constexpr float kHigh = 9.223371487e18f, kLow = -9.223372037e18f;  // the largest floats that fit
    const float clipped = x > kHigh ? kHigh : x < kLow ? kLow : x;
    int64_t wide = x == x ? static_cast<int64_t>(clipped) : 0;
    wide = x > kHigh ? INT64_MAX : wide;
    return static_cast<To>(wide);
  } else {
    return static_cast<To>(x);
  }
}
template <Lane kFrom, DType kTo>
void cast_run(const void* from, void* to, int64_t n) {
  using From = typename LaneType<kFrom>::T;
  using X = Memory<kTo>;
  const auto* p = static_cast<const From*>(from);
  auto* r = static_cast<typename X::R*>(to);
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (kTo == DType::kBool)
      r[i] = p[i] != From(0) ? 1.f : 0.f;
    else
      r[i] = X::load(X::store(convert<typename X::R>(p[i])));
  }
}

// The narrow floats by vectors.
#define CARNOT_HALF_RUNS(dtype, T)                                                                              \
  template <>                                                                                                   \
  void load_run<DType::dtype>(const void* from, void* to, int64_t n) {                                          \
    const auto* p = static_cast<const simd::T*>(from);                                                          \
    auto* r = static_cast<float*>(to);                                                                          \
    int64_t i = 0;                                                                                              \
    for (; i + kLanes <= n; i += kLanes) simd::store(r + i, simd::load(p + i));                                 \
    if (i < n) simd::store_mask(r + i, simd::load_mask(p + i, simd::mask_first(n - i)), simd::mask_first(n - i)); \
  }                                                                                                             \
  template <>                                                                                                   \
  void store_run<DType::dtype>(const void* from, void* to, int64_t n) {                                         \
    const auto* r = static_cast<const float*>(from);                                                            \
    auto* p = static_cast<simd::T*>(to);                                                                        \
    int64_t i = 0;                                                                                              \
    for (; i + kLanes <= n; i += kLanes) simd::store(p + i, simd::load(r + i));                                 \
    if (i < n) simd::store_mask(p + i, simd::load_mask(r + i, simd::mask_first(n - i)), simd::mask_first(n - i)); \
  }                                                                                                             \
  template <>                                                                                                   \
  void cast_run<Lane::kF32, DType::dtype>(const void* from, void* to, int64_t n) {                              \
    const auto* p = static_cast<const float*>(from);                                                            \
    auto* r = static_cast<float*>(to);                                                                          \
    int64_t i = 0;                                                                                              \
    for (; i + kLanes <= n; i += kLanes) simd::store(r + i, simd::rounded<simd::T>(simd::load(p + i)));         \
    if (i == n) return;                                                                                         \
    const Mask m = simd::mask_first(n - i);                                                                     \
    simd::store_mask(r + i, simd::rounded<simd::T>(simd::load_mask(p + i, m)), m);                              \
  }
CARNOT_HALF_RUNS(kF16, Half)
CARNOT_HALF_RUNS(kBF16, Brain)
#undef CARNOT_HALF_RUNS

template <DType kType>
void fill_conversions(PointwiseTable& t) {
  constexpr int k = static_cast<int>(kType);
  t.loads[k] = &load_run<kType>;
  t.strided_loads[k] = &load_strided<kType>;
  t.stores[k] = &store_run<kType>;
  t.casts[static_cast<int>(Lane::kF32)][k] = &cast_run<Lane::kF32, kType>;
  t.casts[static_cast<int>(Lane::kI32)][k] = &cast_run<Lane::kI32, kType>;
  t.casts[static_cast<int>(Lane::kI64)][k] = &cast_run<Lane::kI64, kType>;
  t.casts[static_cast<int>(Lane::kBool)][k] = &cast_run<Lane::kBool, kType>;
}

template <PointwiseOp kOp>
void fill_row(PointwiseTable& t) {
  constexpr PointwiseRow row = pointwise_row(kOp);
  if constexpr ((row.types & kPointwiseFloats) != 0) t.rows[static_cast<int>(kOp)][static_cast<int>(Lane::kF32)] = &lanes::run_floats<kOp, row.arity>;
  if constexpr ((row.types & kPointwiseBools) != 0) t.rows[static_cast<int>(kOp)][static_cast<int>(Lane::kBool)] = &lanes::run_floats<kOp, row.arity>;
  carnot::pointwise_scalar::CARNOT_SIMD_ISA::fill_integers<kOp>(t);
}
}  // namespace

void fill_pointwise_table(PointwiseTable& t) {
#define CARNOT_POINTWISE(id, ...) fill_row<PointwiseOp::k##id>(t);
#include "base/pointwise.inc"
  fill_conversions<DType::kF32>(t);
  fill_conversions<DType::kF16>(t);
  fill_conversions<DType::kBF16>(t);
  fill_conversions<DType::kI32>(t);
  fill_conversions<DType::kI16>(t);
  fill_conversions<DType::kU16>(t);
  fill_conversions<DType::kI8>(t);
  fill_conversions<DType::kU8>(t);
  fill_conversions<DType::kI64>(t);
  fill_conversions<DType::kU32>(t);
  fill_conversions<DType::kBool>(t);
}

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
