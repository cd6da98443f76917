// SPDX-License-Identifier: Apache-2.0
#include "importers/onnx/wire.hpp"

#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>

#include <string>

namespace carnot::onnx {
namespace {

using Wire = protozero::pbf_wire_type;

// Thrown and caught in this file only: protozero reports its findings as exceptions anyway.
struct WireError {
  std::string message;
};

struct Budget {
  size_t messages = 0;
};

// One message. `fn(field)` is called for each field and must consume it or leave it.
class Message {
 public:
  Message(std::string_view bytes, const char* type, Budget& budget, int depth)
      : reader_(protozero::data_view(bytes.data(), bytes.size())), type_(type), budget_(budget), depth_(depth) {
    if (++budget_.messages > kMaxMessages) throw WireError{"more than 50 million messages"};
    if (depth_ > 2 * kMaxGraphDepth) throw WireError{fmt::format("graphs are nested more than {} deep", kMaxGraphDepth)};
  }

  bool next() { return reader_.next(); }
  uint32_t tag() const { return reader_.tag(); }
  void skip() { reader_.skip(); }
  Budget& budget() { return budget_; }
  int depth() const { return depth_; }

  std::string_view bytes() {
    need(Wire::length_delimited);
    const auto view = reader_.get_view();
    return {view.data(), view.size()};
  }
  int64_t integer() {
    need(Wire::varint);
    return reader_.get_int64();
  }
  float f32() {
    need(Wire::fixed32);
    return reader_.get_float();
  }
  Message child(const char* type, int deeper = 0) { return {bytes(), type, budget_, depth_ + deeper}; }

  // Repeated numbers, packed or one by one.
  template <typename T>
  void integers(std::vector<T>& into) {
    if (reader_.wire_type() != Wire::length_delimited) {
      into.push_back(static_cast<T>(integer()));
      return;
    }
    for (const auto range = reader_.get_packed_int64(); const int64_t v : range) into.push_back(static_cast<T>(v));
  }
  void fixed(std::vector<float>& into) {
    if (reader_.wire_type() != Wire::length_delimited) {
      into.push_back(f32());
      return;
    }
    const auto range = reader_.get_packed_float();
    into.insert(into.end(), range.begin(), range.end());
  }
  void fixed(std::vector<double>& into) {
    if (reader_.wire_type() != Wire::length_delimited) {
      need(Wire::fixed64);
      into.push_back(reader_.get_double());
      return;
    }
    const auto range = reader_.get_packed_double();
    into.insert(into.end(), range.begin(), range.end());
  }

 private:
  void need(Wire wire) const {
    if (reader_.wire_type() != wire)
      throw WireError{fmt::format("field {} of {} has wire type {}, expected {}", tag(), type_, static_cast<int>(reader_.wire_type()), static_cast<int>(wire))};
  }
  protozero::pbf_reader reader_;
  const char* type_;
  Budget& budget_;
  int depth_;
};

GraphProto read_graph(Message m);

std::pair<std::string_view, std::string_view> read_entry(Message m) {
  std::pair<std::string_view, std::string_view> out;
  while (m.next()) switch (m.tag()) {
      case 1: out.first = m.bytes(); break;
      case 2: out.second = m.bytes(); break;
      default: m.skip();
    }
  return out;
}

TensorProto read_tensor_message(Message m) {
  TensorProto t;
  while (m.next()) switch (m.tag()) {
      case 1: m.integers(t.dims); break;
      case 2: t.data_type = static_cast<int32_t>(m.integer()); break;
      case 4: m.fixed(t.float_data); break;
      case 5: m.integers(t.int32_data); break;
      case 6: t.string_data.push_back(m.bytes()); break;
      case 7: m.integers(t.int64_data); break;
      case 8: t.name = m.bytes(); break;
      case 9: t.raw = m.bytes(), t.has_raw = true; break;
      case 10: m.fixed(t.double_data); break;
      case 11: m.integers(t.uint64_data); break;
      case 13: t.external.push_back(read_entry(m.child("StringStringEntryProto"))); break;
      case 14: t.is_external = m.integer() == 1; break;
      default: m.skip();
    }
  return t;
}

SparseTensorProto read_sparse(Message m) {
  SparseTensorProto s;
  while (m.next()) switch (m.tag()) {
      case 1: s.values = read_tensor_message(m.child("TensorProto")); break;
      case 2: s.indices = read_tensor_message(m.child("TensorProto")); break;
      case 3: m.integers(s.dims); break;
      default: m.skip();
    }
  return s;
}

DimProto read_dim(Message m) {
  DimProto d;
  while (m.next()) switch (m.tag()) {
      case 1: d.kind = DimProto::kValue, d.value = m.integer(); break;
      case 2: d.kind = DimProto::kName, d.name = m.bytes(); break;
      default: m.skip();
    }
  return d;
}

void read_tensor_type(Message m, TypeProto& type) {
  while (m.next()) switch (m.tag()) {
      case 1: type.elem_type = static_cast<int32_t>(m.integer()); break;
      case 2: {
        type.has_shape = true;
        Message shape = m.child("TensorShapeProto");
        while (shape.next()) {
          if (shape.tag() == 1) type.dims.push_back(read_dim(shape.child("Dimension")));
          else shape.skip();
        }
        break;
      }
      default: m.skip();
    }
}

ValueInfoProto read_value_info(Message m) {
  ValueInfoProto v;
  while (m.next()) switch (m.tag()) {
      case 1: v.name = m.bytes(); break;
      case 2: {
        Message type = m.child("TypeProto");
        while (type.next()) switch (type.tag()) {
            case 1: v.type.kind = TypeProto::kTensor, read_tensor_type(type.child("TypeProto.Tensor"), v.type); break;
            case 4: v.type.kind = TypeProto::kSequence, type.skip(); break;
            case 5: v.type.kind = TypeProto::kMap, type.skip(); break;
            case 8: v.type.kind = TypeProto::kSparse, type.skip(); break;
            case 9: v.type.kind = TypeProto::kOptional, type.skip(); break;
            default: type.skip();
          }
        break;
      }
      default: m.skip();
    }
  return v;
}

// Files of IR version 1 have no type field: what is there tells.
void guess_type(AttributeProto& a, uint32_t last_tag) {
  if (a.type != AttributeProto::kUndefined) return;
  switch (last_tag) {
    case 2: a.type = AttributeProto::kFloat; break;
    case 3: a.type = AttributeProto::kInt; break;
    case 4: a.type = AttributeProto::kString; break;
    case 5: a.type = AttributeProto::kTensor; break;
    case 6: a.type = AttributeProto::kGraph; break;
    case 7: a.type = AttributeProto::kFloats; break;
    case 8: a.type = AttributeProto::kInts; break;
    case 9: a.type = AttributeProto::kStrings; break;
    default: break;
  }
}

AttributeProto read_attribute(Message m) {
  AttributeProto a;
  uint32_t value_tag = 0;
  while (m.next()) {
    const uint32_t tag = m.tag();
    if (tag >= 2 && tag <= 9) value_tag = tag;
    switch (tag) {
      case 1: a.name = m.bytes(); break;
      case 2: a.f = m.f32(); break;
      case 3: a.i = m.integer(); break;
      case 4: a.s = m.bytes(); break;
      case 5: a.t = std::make_shared<const TensorProto>(read_tensor_message(m.child("TensorProto"))); break;
      case 6: a.g = std::make_shared<const GraphProto>(read_graph(m.child("GraphProto", 2))); break;
      case 7: m.fixed(a.floats); break;
      case 8: m.integers(a.ints); break;
      case 9: a.strings.push_back(m.bytes()); break;
      case 20: a.type = static_cast<int32_t>(m.integer()); break;
      case 21: a.ref = m.bytes(); break;
      case 22: a.sparse = std::make_shared<const SparseTensorProto>(read_sparse(m.child("SparseTensorProto"))); break;
      default: m.skip();
    }
  }
  guess_type(a, value_tag);
  return a;
}

NodeProto read_node(Message m) {
  NodeProto n;
  while (m.next()) switch (m.tag()) {
      case 1: n.inputs.push_back(m.bytes()); break;
      case 2: n.outputs.push_back(m.bytes()); break;
      case 3: n.name = m.bytes(); break;
      case 4: n.op_type = m.bytes(); break;
      case 5: n.attributes.push_back(read_attribute(m.child("AttributeProto"))); break;
      case 7: n.domain = m.bytes(); break;
      case 8: n.overload = m.bytes(); break;
      default: m.skip();
    }
  return n;
}

GraphProto read_graph(Message m) {
  GraphProto g;
  while (m.next()) switch (m.tag()) {
      case 1: g.nodes.push_back(read_node(m.child("NodeProto"))); break;
      case 2: g.name = m.bytes(); break;
      case 5: g.initializers.push_back(read_tensor_message(m.child("TensorProto"))); break;
      case 11: g.inputs.push_back(read_value_info(m.child("ValueInfoProto"))); break;
      case 12: g.outputs.push_back(read_value_info(m.child("ValueInfoProto"))); break;
      case 15: g.sparse_initializers.push_back(read_sparse(m.child("SparseTensorProto"))); break;
      default: m.skip();
    }
  return g;
}

OpsetProto read_opset(Message m) {
  OpsetProto o;
  while (m.next()) switch (m.tag()) {
      case 1: o.domain = m.bytes(); break;
      case 2: o.version = m.integer(); break;
      default: m.skip();
    }
  return o;
}

FunctionProto read_function(Message m) {
  FunctionProto f;
  while (m.next()) switch (m.tag()) {
      case 1: f.name = m.bytes(); break;
      case 4: f.inputs.push_back(m.bytes()); break;
      case 5: f.outputs.push_back(m.bytes()); break;
      case 6: f.attributes.push_back(m.bytes()); break;
      case 7: f.nodes.push_back(read_node(m.child("NodeProto"))); break;
      case 9: f.opsets.push_back(read_opset(m.child("OperatorSetIdProto"))); break;
      case 10: f.domain = m.bytes(); break;
      case 11: f.defaults.push_back(read_attribute(m.child("AttributeProto"))); break;
      case 13: f.overload = m.bytes(); break;
      default: m.skip();
    }
  return f;
}

ModelProto read_model_message(Message m) {
  ModelProto model;
  while (m.next()) switch (m.tag()) {
      case 1: model.ir_version = m.integer(); break;
      case 2: model.producer_name = m.bytes(); break;
      case 3: model.producer_version = m.bytes(); break;
      case 7: model.graph = read_graph(m.child("GraphProto")), model.has_graph = true; break;
      case 8: model.opsets.push_back(read_opset(m.child("OperatorSetIdProto"))); break;
      case 14: model.metadata.push_back(read_entry(m.child("StringStringEntryProto"))); break;
      case 25: model.functions.push_back(read_function(m.child("FunctionProto"))); break;
      default: m.skip();
    }
  return model;
}

template <typename T, typename Fn>
Result<T> guarded(std::span<const std::byte> bytes, const char* type, Fn read) {
  try {
    Budget budget;
    return read(Message({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, type, budget, 0));
  } catch (const protozero::end_of_buffer_exception&) {
    return fail(Code::kDataCorrupt, "the bytes end in the middle of a message");
  } catch (const protozero::exception& e) {
    return fail(Code::kDataCorrupt, "no protobuf message: {}", e.what());
  } catch (const WireError& e) {
    return fail(Code::kDataCorrupt, "{}", e.message);
  } catch (const std::bad_alloc&) {
    return fail(Code::kOutOfMemory, "no memory to read a message of {} bytes", bytes.size());
  }
}

}  // namespace

Result<ModelProto> read_model(std::span<const std::byte> bytes) { return guarded<ModelProto>(bytes, "ModelProto", read_model_message); }

Result<TensorProto> read_tensor(std::span<const std::byte> bytes) { return guarded<TensorProto>(bytes, "TensorProto", read_tensor_message); }

std::string data_type_name(int32_t type) {
  static constexpr std::string_view kNames[] = {"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool",
                                                "float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn",
                                                "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2",
                                                "int2", "float6e2m3", "float6e3m2"};
  if (type >= 0 && static_cast<size_t>(type) < std::size(kNames)) return std::string(kNames[type]);
  return fmt::format("unknown element type {}", type);
}

}  // namespace carnot::onnx
