// SPDX-License-Identifier: Apache-2.0
// ONNX files made by hand, as bytes. Nothing is checked, so broken models are as easy as good ones.
//
//   std::string bytes = Model().opset(17).input("x", 1, {2, 3}).node("Relu", {"x"}, {"y"}).output("y").bytes();
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace carnot::onnx_test {

// The messages, as bytes.
std::string attr_int(std::string_view name, int64_t value);
std::string attr_float(std::string_view name, float value);
std::string attr_string(std::string_view name, std::string_view value);
std::string attr_ints(std::string_view name, std::vector<int64_t> values);
std::string attr_tensor(std::string_view name, std::string_view tensor);
std::string attr_graph(std::string_view name, std::string_view graph);
std::string attr_ref(std::string_view name, int type, std::string_view caller);
std::string tensor(std::string_view name, int type, std::vector<int64_t> dims, std::string_view raw);
std::string external_tensor(std::string_view name, int type, std::vector<int64_t> dims,
                            std::vector<std::pair<std::string, std::string>> entries);
std::string node(std::string_view type, std::vector<std::string> inputs, std::vector<std::string> outputs, std::vector<std::string> attributes = {},
                 std::string_view name = "", std::string_view domain = "");
// Dims: a number, or a name, or "?" for nothing.
std::string value_info(std::string_view name, int type, std::vector<std::string> dims);
template <typename T>
std::string raw(std::vector<T> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

class Graph {
 public:
  Graph& add(int field, std::string_view message);
  Graph& input(std::string_view name, int type, std::vector<std::string> dims) { return add(11, value_info(name, type, std::move(dims))); }
  Graph& output(std::string_view name) { return add(12, value_info(name, 1, {})); }
  Graph& initializer(std::string_view message) { return add(5, message); }
  Graph& node(std::string_view type, std::vector<std::string> inputs, std::vector<std::string> outputs, std::vector<std::string> attributes = {},
              std::string_view name = "", std::string_view domain = "") {
    return add(1, onnx_test::node(type, std::move(inputs), std::move(outputs), std::move(attributes), name, domain));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string function(std::string_view domain, std::string_view name, std::vector<std::string> inputs, std::vector<std::string> outputs,
                     std::vector<std::string> nodes, std::vector<std::string> attributes = {});

struct ModelOptions {
  int64_t ir = 8;
  std::vector<std::pair<std::string, int64_t>> opsets = {{"", 17}};
  std::vector<std::pair<std::string, std::string>> metadata = {};
  std::vector<std::string> functions = {};
};
std::string model(const Graph& graph, const ModelOptions& options = {});

}  // namespace carnot::onnx_test
