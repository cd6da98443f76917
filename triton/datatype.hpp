// SPDX-License-Identifier: Apache-2.0
// Element types by their three names: Carnot's number, Triton's number, and the word of a model configuration.
#pragma once
#include <string_view>

#include "api.h"
#include "carnot/carnot.h"

namespace carnot::triton {

struct Datatype {
  carnot_dtype dtype;
  TRITONSERVER_DataType triton;
  const char* config;  // "TYPE_FP32"
};

// Null if there is no such type; BYTES is none that an engine has.
const Datatype* datatype_of(carnot_dtype dtype);
const Datatype* datatype_of(TRITONSERVER_DataType type);
const Datatype* datatype_of(std::string_view config);

}  // namespace carnot::triton
