// SPDX-License-Identifier: Apache-2.0
#include "base/dtype.hpp"

#include <array>

namespace carnot {
namespace {

struct Row {
  DType dtype;
  std::string_view name;
  std::string_view numpy;
  size_t size;
};

constexpr std::array<Row, 15> kRows{{
    {DType::kF32, "f32", "float32", 4},
    {DType::kF64, "f64", "float64", 8},
    {DType::kF16, "f16", "float16", 2},
    {DType::kBF16, "bf16", "bfloat16", 2},
    {DType::kU8, "u8", "uint8", 1},
    {DType::kI8, "i8", "int8", 1},
    {DType::kU16, "u16", "uint16", 2},
    {DType::kI16, "i16", "int16", 2},
    {DType::kI32, "i32", "int32", 4},
    {DType::kI64, "i64", "int64", 8},
    {DType::kU32, "u32", "uint32", 4},
    {DType::kU64, "u64", "uint64", 8},
    {DType::kBool, "bool", "bool", 1},
    {DType::kString, "string", "object", 0},
    {DType::kInvalid, "invalid", "invalid", 0},
}};

}  // namespace

size_t dtype_size(DType dtype) {
  for (const Row& row : kRows)
    if (row.dtype == dtype) return row.size;
  return 0;
}

std::string_view dtype_name(DType dtype) {
  for (const Row& row : kRows)
    if (row.dtype == dtype) return row.name;
  return "invalid";
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const Row& row : kRows)
    if (row.dtype != DType::kInvalid && (row.name == name || row.numpy == name)) return row.dtype;
  return std::nullopt;
}

float16::float16(float value) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  const uint32_t sign = (word >> 16) & 0x8000;
  const uint32_t exponent = (word >> 23) & 0xff;
  uint32_t mantissa = word & 0x7fffff;
  if (exponent == 0xff) {  // inf stays inf, nan stays a quiet nan
    bits = static_cast<uint16_t>(sign | 0x7c00 | (mantissa ? 0x200 | (mantissa >> 13) : 0));
    return;
  }
  const int e = static_cast<int>(exponent) - 127 + 15;
  if (e >= 31) {
    bits = static_cast<uint16_t>(sign | 0x7c00);
    return;
  }
  if (e <= 0) {
    if (e < -10) {
      bits = static_cast<uint16_t>(sign);
      return;
    }
    mantissa |= 0x800000;
    const int shift = 14 - e;
    uint32_t half = mantissa >> shift;
    const uint32_t rest = mantissa & ((1u << shift) - 1);
    const uint32_t middle = 1u << (shift - 1);
    if (rest > middle || (rest == middle && (half & 1))) ++half;
    bits = static_cast<uint16_t>(sign | half);
    return;
  }
  uint32_t half = (static_cast<uint32_t>(e) << 10) | (mantissa >> 13);
  const uint32_t rest = mantissa & 0x1fff;
  if (rest > 0x1000 || (rest == 0x1000 && (half & 1))) ++half;  // may carry into the exponent: that is right
  bits = static_cast<uint16_t>(sign | half);
}

float16::operator float() const {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  uint32_t mantissa = bits & 0x3ff;
  uint32_t word;
  if (exponent == 31) {
    word = sign | 0x7f800000 | (mantissa << 13);
  } else if (exponent != 0) {
    word = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else if (mantissa == 0) {
    word = sign;
  } else {  // subnormal: normalise
    int e = 113;
    while (!(mantissa & 0x400)) {
      mantissa <<= 1;
      --e;
    }
    word = sign | (static_cast<uint32_t>(e) << 23) | ((mantissa & 0x3ff) << 13);
  }
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

bfloat16::bfloat16(float value) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  if ((word & 0x7fffffff) > 0x7f800000) {
    bits = static_cast<uint16_t>((word >> 16) | 0x40);
    return;
  }
  bits = static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
}

namespace {
template <typename From, typename To>
void convert_run(const void* from, void* to, int64_t n) {
  const auto* p = static_cast<const From*>(from);
  auto* q = static_cast<To*>(to);
  for (int64_t i = 0; i < n; ++i) q[i] = To(static_cast<float>(p[i]));
}
}  // namespace

void convert_floats(DType from_type, const void* from, DType to_type, void* to, int64_t n) {
  auto into = [&](auto source) {
    using From = typename decltype(source)::type;
    if (to_type == DType::kF32) convert_run<From, float>(from, to, n);
    if (to_type == DType::kF16) convert_run<From, float16>(from, to, n);
    if (to_type == DType::kBF16) convert_run<From, bfloat16>(from, to, n);
  };
  if (from_type == DType::kF32) into(TypeTag<float>{});
  if (from_type == DType::kF16) into(TypeTag<float16>{});
  if (from_type == DType::kBF16) into(TypeTag<bfloat16>{});
}

}  // namespace carnot
