// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <cmath>

#include "ir/text.hpp"

namespace carnot::ir {
namespace {

constexpr int64_t kDecimalElements = 64;

bool plain_word(std::string_view s) {
  return !s.empty() && s != "_" && std::all_of(s.begin(), s.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '.' || c == '/' || c == ':' || c == '$' || c == '-';
  }) && s.find("//") == std::string_view::npos;  // would start a comment
}

std::string quoted(std::string_view s) { return ops::to_string(Attr(std::string(s))); }
std::string word(std::string_view s) { return plain_word(s) ? std::string(s) : quoted(s); }
std::string name_of(const Value* v) { return v ? "%" + word(v->name) : "_"; }

std::string dims_of(const std::vector<Dim>& dims) {
  std::string out;
  for (const Dim& d : dims) out += (out.empty() ? "" : ",") + d.str();
  return out;
}

std::string type_of(const ops::ValueFacts& facts) {
  std::string out = fmt::format("{}[{}]", dtype_name(facts.dtype), dims_of(facts.shape));
  if (facts.values) out += " {" + dims_of(*facts.values) + "}";
  return out;
}

// Decimal text of one element that reads back to the same bits; none for NaN, whose payload decimals lose.
template <typename T>
bool print_element(std::string& out, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    out += fmt::format("{}", static_cast<std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>(value));
  } else if constexpr (std::is_same_v<T, double>) {
    if (std::isnan(value)) return false;
    out += fmt::format("{}", value);
  } else {
    const float f = static_cast<float>(value);
    if (std::isnan(f)) return false;
    out += fmt::format("{}", f);
  }
  return true;
}

bool is_splat(const Constant& c) {
  const size_t width = dtype_size(c.dtype);
  return c.size() > 8 && std::memcmp(c.data, c.as<char>() + width, c.bytes() - width) == 0;
}

std::string constant_text(const Constant& c, const PrintOptions& options) {
  const bool splat = is_splat(c);
  const int64_t count = splat ? 1 : c.size();
  if (!splat && options.elide_above >= 0 && static_cast<int64_t>(c.bytes()) > options.elide_above)
    return fmt::format("<elided {} bytes>", c.bytes());
  if (count <= kDecimalElements) {
    std::string out;
    bool good = true;
    dispatch_dtype(c.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < count && good; ++i) {
        if (i) out += ", ";
        good = print_element(out, c.as<T>()[i]);
      }
    });
    if (good) return (splat ? "splat {" : "{") + out + "}";
  }
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "0x";
  out.reserve(2 + 2 * c.bytes());
  for (size_t i = 0; i < c.bytes(); ++i) {
    const auto byte = c.as<unsigned char>()[i];
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

void print_head(std::string& out, const Node& node) {
  for (size_t i = 0; i < node.outputs.size(); ++i) out += (i ? ", " : "") + name_of(node.outputs[i]);
  out += " = " + node.op.str();
  for (size_t i = 0; i < node.inputs.size(); ++i) out += (i ? ", " : " ") + name_of(node.inputs[i]);
}

void print_tail(std::string& out, const Node& node) {
  out += " : ";
  for (size_t i = 0; i < node.outputs.size(); ++i) out += (i ? ", " : "") + type_of(node.outputs[i]->facts);
  if (!node.where.name.empty() || !node.where.type.empty()) {
    out += " @ " + quoted(node.where.name);
    if (!node.where.type.empty()) out += " " + quoted(node.where.type);
  }
}

void print_graph(std::string& out, const Graph& graph, const PrintOptions& options, size_t indent) {
  const std::string in(indent + 2, ' ');
  out += std::string(indent, ' ') + "graph " + word(graph.name) + "(";
  for (size_t i = 0; i < graph.inputs().size(); ++i)
    out += (i ? ", " : "") + name_of(graph.inputs()[i]) + ": " + type_of(graph.inputs()[i]->facts);
  out += ") {\n";
  for (const auto& [key, value] : graph.metadata) out += in + "metadata " + quoted(key) + " = " + quoted(value) + "\n";
  for (const auto& v : graph.values())
    if (v->constant)
      out += fmt::format("{}{} = constant {}[{}] {}\n", in, name_of(v.get()), dtype_name(v->constant->dtype), dims_of(to_shape(v->constant->dims)),
                         constant_text(*v->constant, options));
  for (const auto& node : graph.nodes()) {
    out += in;
    print_head(out, *node);
    if (!node->bodies.empty()) {
      out += " {\n";
      for (const auto& body : node->bodies) print_graph(out, *body, options, indent + 4);
      out += in + "}";
    }
    print_tail(out, *node);
    out += "\n";
  }
  out += in + "return";
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const Value* v = graph.outputs()[i];
    out += (i ? ", " : " ") + name_of(v);
    if (const std::string& name = graph.output_names()[i]; name != v->name) out += " " + quoted(name);
  }
  out += "\n" + std::string(indent, ' ') + "}\n";
}

}  // namespace

std::string print(const Graph& graph, const PrintOptions& options) {
  std::string out;
  print_graph(out, graph, options, 0);
  return out;
}

std::string print(const Node& node) {
  std::string out;
  print_head(out, node);
  if (!node.bodies.empty()) out += " {...}";
  print_tail(out, node);
  return out;
}

}  // namespace carnot::ir
