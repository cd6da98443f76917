// SPDX-License-Identifier: Apache-2.0
// The three names of an element type: the protocol's ("FP32"), the configuration's (TYPE_FP32) and the runtime's
// (CARNOT_F32).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "carnot/carnot.h"

namespace carnot::serve {

struct Datatype {
  std::string_view name;  // in requests and metadata
  int config;             // inference::DataType
  carnot_dtype dtype;     // kNoDtype where the runtime has none (BYTES)
  size_t size;            // bytes of an element; 0: varies
};
inline constexpr carnot_dtype kNoDtype = static_cast<carnot_dtype>(0);

// Pointers into one static table, so equal types have equal addresses. nullptr: unknown.
const Datatype* datatype_named(std::string_view name);
const Datatype* datatype_of(carnot_dtype dtype);
const Datatype* datatype_of_config(int config);

// Elements of a shape; nothing if a dim is negative or the product overflows.
std::optional<uint64_t> element_count(const std::vector<int64_t>& shape);
// "[2,-1,4]"
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace carnot::serve
