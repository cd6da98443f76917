// SPDX-License-Identifier: Apache-2.0
// Tensors as JSON: "data" of a request into bytes, bytes into "data" of an answer.
#pragma once
#include <rapidjson/document.h>

#include <vector>

#include "core/datatype.hpp"
#include "core/fault.hpp"

namespace carnot::serve {

// `data`: flat or nested, as many elements as `shape` has. BYTES become length-prefixed strings.
MaybeFault tensor_from_json(const rapidjson::Value& data, const Datatype& type, const std::vector<int64_t>& shape,
                            std::vector<std::byte>* bytes);
// "[1,2,3]". NaN and infinities are written as Python's json module does, which no strict parser takes: ask for binary
// data.
void append_tensor_json(const Datatype& type, const std::byte* data, size_t bytes, std::string* out);

}  // namespace carnot::serve
