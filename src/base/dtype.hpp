// SPDX-License-Identifier: Apache-2.0
// Element types. The numbers are ONNX's TensorProto.DataType, so that they mean the same in models and engines.
#pragma once
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace carnot {

enum class DType : uint8_t {
  kInvalid = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  kString = 8,
  kBool = 9,
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kBF16 = 16,
};

// Bytes of one element; 0 for kInvalid and for strings (stored as std::string objects, sizeof(std::string) each, see is_string()).
size_t dtype_size(DType dtype);
// "f32", "i64", "bool" ...; the word in text IR, logs and docs.
std::string_view dtype_name(DType dtype);
// Accepts our names and numpy's ("float32").
std::optional<DType> parse_dtype(std::string_view name);
inline bool is_float(DType t) {
  return t == DType::kF32 || t == DType::kF64 || t == DType::kF16 || t == DType::kBF16;
}
inline bool is_integer(DType t) {
  return t == DType::kU8 || t == DType::kI8 || t == DType::kU16 || t == DType::kI16 || t == DType::kI32 || t == DType::kI64 ||
         t == DType::kU32 || t == DType::kU64;
}

// IEEE 754 binary16; arithmetic happens in float.
struct float16 {
  uint16_t bits = 0;
  float16() = default;
  float16(float value);
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, float>>>
  explicit float16(T value) : float16(static_cast<float>(value)) {}
  operator float() const;
};

// The upper half of a float, rounded to nearest even.
struct bfloat16 {
  uint16_t bits = 0;
  bfloat16() = default;
  bfloat16(float value);
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, float>>>
  explicit bfloat16(T value) : bfloat16(static_cast<float>(value)) {}
  operator float() const {
    uint32_t word = uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
  }
};

// n elements between f32, f16 and bf16, rounded to nearest even. Nothing happens for other types.
void convert_floats(DType from_type, const void* from, DType to_type, void* to, int64_t n);

template <typename T>
struct DTypeOf;
#define CARNOT_DTYPE_OF(type, tag) \
  template <>                      \
  struct DTypeOf<type> {           \
    static constexpr DType value = DType::tag; \
  };
CARNOT_DTYPE_OF(float, kF32)
CARNOT_DTYPE_OF(double, kF64)
CARNOT_DTYPE_OF(float16, kF16)
CARNOT_DTYPE_OF(bfloat16, kBF16)
CARNOT_DTYPE_OF(uint8_t, kU8)
CARNOT_DTYPE_OF(int8_t, kI8)
CARNOT_DTYPE_OF(uint16_t, kU16)
CARNOT_DTYPE_OF(int16_t, kI16)
CARNOT_DTYPE_OF(int32_t, kI32)
CARNOT_DTYPE_OF(int64_t, kI64)
CARNOT_DTYPE_OF(uint32_t, kU32)
CARNOT_DTYPE_OF(uint64_t, kU64)
CARNOT_DTYPE_OF(bool, kBool)
#undef CARNOT_DTYPE_OF
template <typename T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

template <typename T>
struct TypeTag {
  using type = T;
};

// Calls fn(TypeTag<T>{}) with the C++ type of a numeric or bool dtype; returns false for any other.
//   bool known = dispatch_dtype(dtype, [&](auto tag) { using T = typename decltype(tag)::type; ... });
template <typename Fn>
bool dispatch_dtype(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kF32: fn(TypeTag<float>{}); return true;
    case DType::kF64: fn(TypeTag<double>{}); return true;
    case DType::kF16: fn(TypeTag<float16>{}); return true;
    case DType::kBF16: fn(TypeTag<bfloat16>{}); return true;
    case DType::kU8: fn(TypeTag<uint8_t>{}); return true;
    case DType::kI8: fn(TypeTag<int8_t>{}); return true;
    case DType::kU16: fn(TypeTag<uint16_t>{}); return true;
    case DType::kI16: fn(TypeTag<int16_t>{}); return true;
    case DType::kI32: fn(TypeTag<int32_t>{}); return true;
    case DType::kI64: fn(TypeTag<int64_t>{}); return true;
    case DType::kU32: fn(TypeTag<uint32_t>{}); return true;
    case DType::kU64: fn(TypeTag<uint64_t>{}); return true;
    case DType::kBool: fn(TypeTag<bool>{}); return true;
    default: return false;
  }
}

}  // namespace carnot
