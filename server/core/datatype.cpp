// SPDX-License-Identifier: Apache-2.0
#include "core/datatype.hpp"

#include <string>

namespace carnot::serve {
namespace {

// `config` holds the published numbers of inference::DataType.
constexpr Datatype kTypes[] = {
    {"BOOL", 1, CARNOT_BOOL, 1},  {"UINT8", 2, CARNOT_U8, 1},   {"UINT16", 3, CARNOT_U16, 2},
    {"UINT32", 4, CARNOT_U32, 4}, {"UINT64", 5, CARNOT_U64, 8}, {"INT8", 6, CARNOT_I8, 1},
    {"INT16", 7, CARNOT_I16, 2},  {"INT32", 8, CARNOT_I32, 4},  {"INT64", 9, CARNOT_I64, 8},
    {"FP16", 10, CARNOT_F16, 2},  {"FP32", 11, CARNOT_F32, 4},  {"FP64", 12, CARNOT_F64, 8},
    {"BYTES", 13, kNoDtype, 0},   {"BF16", 14, CARNOT_BF16, 2},
};

}  // namespace

const Datatype* datatype_named(std::string_view name) {
  for (const Datatype& t : kTypes)
    if (t.name == name) return &t;
  return nullptr;
}

const Datatype* datatype_of(carnot_dtype dtype) {
  for (const Datatype& t : kTypes)
    if (t.dtype == dtype && dtype != kNoDtype) return &t;
  return nullptr;
}

const Datatype* datatype_of_config(int config) {
  for (const Datatype& t : kTypes)
    if (t.config == config) return &t;
  return nullptr;
}

std::optional<uint64_t> element_count(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  for (int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(count, static_cast<uint64_t>(dim), &count)) return std::nullopt;
  return count;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t dim : shape) text += (text.size() > 1 ? "," : "") + std::to_string(dim);
  return text + "]";
}

}  // namespace carnot::serve
