// SPDX-License-Identifier: Apache-2.0
#include "http/json_tensor.hpp"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/proto_json.hpp"

namespace carnot::serve {
namespace {

using rapidjson::Value;

// Why an element was refused.
enum class Trouble { kNone, kType, kCount };

template <typename T>
bool element(const Value& v, T* out) {
  if constexpr (std::is_same_v<T, bool>) {
    if (v.IsBool())
      *out = v.GetBool();
    else if (v.IsUint() && v.GetUint() <= 1)
      *out = v.GetUint() == 1;
    else
      return false;
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!v.IsNumber()) return false;
    *out = static_cast<T>(v.GetDouble());
  } else if constexpr (std::is_signed_v<T>) {
    if (!v.IsInt64() || v.GetInt64() < std::numeric_limits<T>::min() || v.GetInt64() > std::numeric_limits<T>::max())
      return false;
    *out = static_cast<T>(v.GetInt64());
  } else {
    if (!v.IsUint64() || v.GetUint64() > std::numeric_limits<T>::max()) return false;
    *out = static_cast<T>(v.GetUint64());
  }
  return true;
}

// Appends what `v` holds, however deep (no deeper than the shape: depth 0 may hold no arrays).
template <typename T>
Trouble gather(const Value& v, size_t depth, T*& at, T* end) {
  for (const Value& item : v.GetArray()) {
    if (item.IsArray()) {
      if (depth == 0) return Trouble::kCount;
      if (const Trouble t = gather(item, depth - 1, at, end); t != Trouble::kNone) return t;
      continue;
    }
    if (at == end) return Trouble::kCount;
    if (!element<T>(item, at)) return Trouble::kType;
    ++at;
  }
  return Trouble::kNone;
}

template <typename T>
Trouble read(const Value& data, size_t rank, uint64_t count, std::vector<std::byte>* bytes) {
  bytes->resize(count * sizeof(T));
  T* at = reinterpret_cast<T*>(bytes->data());
  T* const end = at + count;
  const Trouble t = gather(data, rank, at, end);
  return t == Trouble::kNone && at != end ? Trouble::kCount : t;
}

Trouble read_strings(const Value& data, size_t depth, uint64_t* left, std::vector<std::byte>* bytes) {
  for (const Value& item : data.GetArray()) {
    if (item.IsArray()) {
      if (depth == 0) return Trouble::kCount;
      if (const Trouble t = read_strings(item, depth - 1, left, bytes); t != Trouble::kNone) return t;
      continue;
    }
    if (!item.IsString()) return Trouble::kType;
    if ((*left)-- == 0) return Trouble::kCount;
    const uint32_t length = item.GetStringLength();
    const auto* head = reinterpret_cast<const std::byte*>(&length);
    bytes->insert(bytes->end(), head, head + sizeof length);
    const auto* body = reinterpret_cast<const std::byte*>(item.GetString());
    bytes->insert(bytes->end(), body, body + length);
  }
  return Trouble::kNone;
}

template <typename T>
void write(const std::byte* data, size_t bytes, std::string* out) {
  const size_t count = bytes / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    if (i) out->push_back(',');
    char text[40];
    if constexpr (std::is_floating_point_v<T>)
      if (!std::isfinite(value)) {
        out->append(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        continue;
      }
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    out->append(text, end);
    // "-0" is an integer to most parsers, and integers have no such zero.
    if constexpr (std::is_floating_point_v<T>)
      if (value == 0 && std::signbit(value)) out->append(".0");
  }
}

}  // namespace

MaybeFault tensor_from_json(const Value& data, const Datatype& type, const std::vector<int64_t>& shape,
                            std::vector<std::byte>* bytes) {
  if (!data.IsArray()) return invalid("Unable to parse 'data': attempt to access JSON non-array as array");
  const auto count = element_count(shape);
  // A JSON element takes two bytes at least, and the document is in memory: a count that could not be there is not
  // allocated.
  const Trouble impossible = Trouble::kCount;
  Trouble t = impossible;
  if (count && *count <= uint64_t{1} << 32) {
    const size_t rank = shape.size();
    const auto fits = [&] {
      uint64_t elements = 0;
      // Upper bound of the elements: top-level items times what is nested in the first, level by level.
      const Value* v = &data;
      uint64_t product = 1;
      while (v->IsArray()) {
        product *= std::max<uint64_t>(v->Size(), 1);
        elements = product;
        if (v->Empty() || product > (uint64_t{1} << 32)) break;
        v = &(*v)[0];
      }
      return *count <= elements || *count == 0;
    };
    if (fits()) switch (type.dtype) {
        case CARNOT_BOOL:
          t = read<bool>(data, rank, *count, bytes);
          break;
        case CARNOT_U8:
          t = read<uint8_t>(data, rank, *count, bytes);
          break;
        case CARNOT_U16:
          t = read<uint16_t>(data, rank, *count, bytes);
          break;
        case CARNOT_U32:
          t = read<uint32_t>(data, rank, *count, bytes);
          break;
        case CARNOT_U64:
          t = read<uint64_t>(data, rank, *count, bytes);
          break;
        case CARNOT_I8:
          t = read<int8_t>(data, rank, *count, bytes);
          break;
        case CARNOT_I16:
          t = read<int16_t>(data, rank, *count, bytes);
          break;
        case CARNOT_I32:
          t = read<int32_t>(data, rank, *count, bytes);
          break;
        case CARNOT_I64:
          t = read<int64_t>(data, rank, *count, bytes);
          break;
        case CARNOT_F32:
          t = read<float>(data, rank, *count, bytes);
          break;
        case CARNOT_F64:
          t = read<double>(data, rank, *count, bytes);
          break;
        case CARNOT_F16:
        case CARNOT_BF16:
          return invalid("receiving {} data via JSON is not supported. Please use the binary data format", type.name);
        default: {
          uint64_t left = *count;
          t = read_strings(data, rank, &left, bytes);
          if (t == Trouble::kNone && left != 0) t = Trouble::kCount;
        }
      }
  }
  if (t == Trouble::kCount) return invalid("Unable to parse 'data': Shape does not match true shape of 'data' field");
  if (t == Trouble::kType) return invalid("Unable to parse 'data': an element is no {} value", type.name);
  return std::nullopt;
}

void append_tensor_json(const Datatype& type, const std::byte* data, size_t bytes, std::string* out) {
  out->push_back('[');
  switch (type.dtype) {
    case CARNOT_BOOL:
      for (size_t i = 0; i < bytes; ++i)
        out->append(i ? "," : "").append(static_cast<bool>(data[i]) ? "true" : "false");
      break;
    case CARNOT_U8:
      write<uint8_t>(data, bytes, out);
      break;
    case CARNOT_U16:
      write<uint16_t>(data, bytes, out);
      break;
    case CARNOT_U32:
      write<uint32_t>(data, bytes, out);
      break;
    case CARNOT_U64:
      write<uint64_t>(data, bytes, out);
      break;
    case CARNOT_I8:
      write<int8_t>(data, bytes, out);
      break;
    case CARNOT_I16:
      write<int16_t>(data, bytes, out);
      break;
    case CARNOT_I32:
      write<int32_t>(data, bytes, out);
      break;
    case CARNOT_I64:
      write<int64_t>(data, bytes, out);
      break;
    case CARNOT_F32:
      write<float>(data, bytes, out);
      break;
    case CARNOT_F64:
      write<double>(data, bytes, out);
      break;
    default: {
      size_t at = 0;
      while (at + 4 <= bytes) {
        uint32_t length;
        std::memcpy(&length, data + at, 4);
        if (at) out->push_back(',');
        append_json_string({reinterpret_cast<const char*>(data + at + 4), length}, out);
        at += 4 + length;
      }
    }
  }
  out->push_back(']');
}

}  // namespace carnot::serve
