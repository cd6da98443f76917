// SPDX-License-Identifier: Apache-2.0
#include "model_maker.hpp"

#include <cstring>

namespace carnot::onnx_test {
namespace {

void varint(std::string& out, uint64_t v) {
  for (; v >= 128; v >>= 7) out += static_cast<char>(v | 128);
  out += static_cast<char>(v);
}
void number(std::string& out, int field, int64_t v) {
  varint(out, static_cast<uint64_t>(field) << 3);
  varint(out, static_cast<uint64_t>(v));
}
void bytes(std::string& out, int field, std::string_view v) {
  varint(out, static_cast<uint64_t>(field) << 3 | 2);
  varint(out, v.size());
  out += v;
}
std::string attribute(std::string_view name, int type) {
  std::string out;
  bytes(out, 1, name);
  number(out, 20, type);
  return out;
}
std::string pair(std::string_view a, std::string_view b) {
  std::string out;
  bytes(out, 1, a);
  bytes(out, 2, b);
  return out;
}
std::string opset(std::string_view domain, int64_t version) {
  std::string out;
  bytes(out, 1, domain);
  number(out, 2, version);
  return out;
}

}  // namespace

std::string attr_int(std::string_view name, int64_t value) {
  std::string out = attribute(name, 2);
  number(out, 3, value);
  return out;
}
std::string attr_float(std::string_view name, float value) {
  std::string out = attribute(name, 1);
  varint(out, 2 << 3 | 5);
  out.append(reinterpret_cast<const char*>(&value), 4);
  return out;
}
std::string attr_string(std::string_view name, std::string_view value) {
  std::string out = attribute(name, 3);
  bytes(out, 4, value);
  return out;
}
std::string attr_ints(std::string_view name, std::vector<int64_t> values) {
  std::string out = attribute(name, 7);
  for (const int64_t v : values) number(out, 8, v);
  return out;
}
std::string attr_tensor(std::string_view name, std::string_view tensor) {
  std::string out = attribute(name, 4);
  bytes(out, 5, tensor);
  return out;
}
std::string attr_graph(std::string_view name, std::string_view graph) {
  std::string out = attribute(name, 5);
  bytes(out, 6, graph);
  return out;
}
std::string attr_ref(std::string_view name, int type, std::string_view caller) {
  std::string out = attribute(name, type);
  bytes(out, 21, caller);
  return out;
}

std::string tensor(std::string_view name, int type, std::vector<int64_t> dims, std::string_view raw) {
  std::string out;
  for (const int64_t d : dims) number(out, 1, d);
  number(out, 2, type);
  bytes(out, 8, name);
  bytes(out, 9, raw);
  return out;
}

std::string external_tensor(std::string_view name, int type, std::vector<int64_t> dims, std::vector<std::pair<std::string, std::string>> entries) {
  std::string out;
  for (const int64_t d : dims) number(out, 1, d);
  number(out, 2, type);
  bytes(out, 8, name);
  for (const auto& [key, value] : entries) bytes(out, 13, pair(key, value));
  number(out, 14, 1);
  return out;
}

std::string node(std::string_view type, std::vector<std::string> inputs, std::vector<std::string> outputs, std::vector<std::string> attributes,
                 std::string_view name, std::string_view domain) {
  std::string out;
  for (const auto& i : inputs) bytes(out, 1, i);
  for (const auto& o : outputs) bytes(out, 2, o);
  if (!name.empty()) bytes(out, 3, name);
  bytes(out, 4, type);
  for (const auto& a : attributes) bytes(out, 5, a);
  if (!domain.empty()) bytes(out, 7, domain);
  return out;
}

std::string value_info(std::string_view name, int type, std::vector<std::string> dims) {
  std::string shape;
  for (const std::string& d : dims) {
    std::string dim;
    if (d.find_first_not_of("-0123456789") == std::string::npos)
      number(dim, 1, std::stoll(d));
    else if (d != "?")
      bytes(dim, 2, d);
    bytes(shape, 1, dim);
  }
  std::string tensor, kind, out;
  number(tensor, 1, type);
  bytes(tensor, 2, shape);
  bytes(kind, 1, tensor);
  bytes(out, 1, name);
  bytes(out, 2, kind);
  return out;
}

Graph& Graph::add(int field, std::string_view message) {
  onnx_test::bytes(bytes_, field, message);
  return *this;
}

std::string function(std::string_view domain, std::string_view name, std::vector<std::string> inputs, std::vector<std::string> outputs,
                     std::vector<std::string> nodes, std::vector<std::string> attributes) {
  std::string out;
  bytes(out, 1, name);
  for (const auto& i : inputs) bytes(out, 4, i);
  for (const auto& o : outputs) bytes(out, 5, o);
  for (const auto& a : attributes) bytes(out, 6, a);
  for (const auto& n : nodes) bytes(out, 7, n);
  bytes(out, 9, opset("", 17));
  bytes(out, 10, domain);
  return out;
}

std::string model(const Graph& graph, const ModelOptions& options) {
  std::string out;
  number(out, 1, options.ir);
  bytes(out, 2, "maker");
  bytes(out, 3, "1.0");
  bytes(out, 7, graph.bytes());
  for (const auto& [domain, version] : options.opsets) bytes(out, 8, opset(domain, version));
  for (const auto& [key, value] : options.metadata) bytes(out, 14, pair(key, value));
  for (const auto& f : options.functions) bytes(out, 25, f);
  return out;
}

}  // namespace carnot::onnx_test
