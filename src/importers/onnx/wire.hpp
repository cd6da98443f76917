// SPDX-License-Identifier: Apache-2.0
// ONNX's messages as plain structs, and the reader that fills them from bytes. Text and tensor payloads stay views into those bytes,
// so the bytes must outlive the structs. Unknown fields are skipped; known ones with the wrong wire type are errors.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace carnot::onnx {

// What a file may hold at most. Real models stay far below.
inline constexpr int kMaxGraphDepth = 64;           // graphs inside graphs, types inside types
inline constexpr size_t kMaxMessages = 50'000'000;  // nodes, attributes, tensors ... in one file

struct TensorProto {
  std::string_view name;
  int32_t data_type = 0;
  std::vector<int64_t> dims;
  bool has_raw = false;
  std::string_view raw;
  std::vector<float> float_data;
  std::vector<int32_t> int32_data;
  std::vector<int64_t> int64_data;
  std::vector<double> double_data;
  std::vector<uint64_t> uint64_data;
  std::vector<std::string_view> string_data;
  std::vector<std::pair<std::string_view, std::string_view>> external;
  bool is_external = false;
};

struct SparseTensorProto {
  TensorProto values, indices;
  std::vector<int64_t> dims;
};

struct DimProto {
  enum Kind { kUnknown, kValue, kName } kind = kUnknown;
  int64_t value = 0;
  std::string_view name;
};

struct TypeProto {
  enum Kind { kNone, kTensor, kSequence, kMap, kSparse, kOptional } kind = kNone;
  int32_t elem_type = 0;
  bool has_shape = false;
  std::vector<DimProto> dims;
};

struct ValueInfoProto {
  std::string_view name;
  TypeProto type;
};

struct GraphProto;

struct AttributeProto {
  enum Type { kUndefined, kFloat, kInt, kString, kTensor, kGraph, kFloats, kInts, kStrings, kTensors, kGraphs, kSparse, kSparses, kType, kTypes };
  std::string_view name;
  std::string_view ref;  // inside a function: the caller's attribute of this name
  int32_t type = kUndefined;
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::shared_ptr<const TensorProto> t;
  std::shared_ptr<const SparseTensorProto> sparse;
  std::shared_ptr<const GraphProto> g;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
};

struct NodeProto {
  std::string_view name, op_type, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> attributes;
};

struct GraphProto {
  std::string_view name;
  std::vector<NodeProto> nodes;
  std::vector<TensorProto> initializers;
  std::vector<SparseTensorProto> sparse_initializers;
  std::vector<ValueInfoProto> inputs, outputs;
};

struct OpsetProto {
  std::string_view domain;
  int64_t version = 0;
};

struct FunctionProto {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs, attributes;
  std::vector<AttributeProto> defaults;
  std::vector<NodeProto> nodes;
  std::vector<OpsetProto> opsets;
};

struct ModelProto {
  int64_t ir_version = 0;
  std::string_view producer_name, producer_version;
  bool has_graph = false;
  GraphProto graph;
  std::vector<OpsetProto> opsets;
  std::vector<std::pair<std::string_view, std::string_view>> metadata;
  std::vector<FunctionProto> functions;
};

Result<ModelProto> read_model(std::span<const std::byte> bytes);
// A message of its own file, as test data is stored.
Result<TensorProto> read_tensor(std::span<const std::byte> bytes);

// "float32", "string" ... of TensorProto.DataType, for messages.
std::string data_type_name(int32_t type);

}  // namespace carnot::onnx
