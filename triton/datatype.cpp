// SPDX-License-Identifier: Apache-2.0
#include "datatype.hpp"

namespace carnot::triton {
namespace {

constexpr Datatype kTypes[] = {
    {CARNOT_BOOL, TRITONSERVER_TYPE_BOOL, "TYPE_BOOL"},    {CARNOT_U8, TRITONSERVER_TYPE_UINT8, "TYPE_UINT8"},
    {CARNOT_U16, TRITONSERVER_TYPE_UINT16, "TYPE_UINT16"}, {CARNOT_U32, TRITONSERVER_TYPE_UINT32, "TYPE_UINT32"},
    {CARNOT_U64, TRITONSERVER_TYPE_UINT64, "TYPE_UINT64"}, {CARNOT_I8, TRITONSERVER_TYPE_INT8, "TYPE_INT8"},
    {CARNOT_I16, TRITONSERVER_TYPE_INT16, "TYPE_INT16"},   {CARNOT_I32, TRITONSERVER_TYPE_INT32, "TYPE_INT32"},
    {CARNOT_I64, TRITONSERVER_TYPE_INT64, "TYPE_INT64"},   {CARNOT_F16, TRITONSERVER_TYPE_FP16, "TYPE_FP16"},
    {CARNOT_F32, TRITONSERVER_TYPE_FP32, "TYPE_FP32"},     {CARNOT_F64, TRITONSERVER_TYPE_FP64, "TYPE_FP64"},
    {CARNOT_BF16, TRITONSERVER_TYPE_BF16, "TYPE_BF16"},
};

template <typename Test>
const Datatype* find(Test test) {
  for (const Datatype& t : kTypes)
    if (test(t)) return &t;
  return nullptr;
}

}  // namespace

const Datatype* datatype_of(carnot_dtype dtype) {
  return find([&](const Datatype& t) { return t.dtype == dtype; });
}
const Datatype* datatype_of(TRITONSERVER_DataType type) {
  return find([&](const Datatype& t) { return t.triton == type; });
}
const Datatype* datatype_of(std::string_view config) {
  return find([&](const Datatype& t) { return t.config == config; });
}

}  // namespace carnot::triton
