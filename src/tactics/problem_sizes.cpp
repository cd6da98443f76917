// SPDX-License-Identifier: Apache-2.0
#include "tactics/problem_sizes.hpp"

#include <algorithm>
#include <unordered_map>

#include "ops/conv.hpp"
#include "ops/conv_transpose.hpp"
#include "ops/gemm.hpp"
#include "ops/matmul.hpp"

namespace carnot::tactics {
namespace {

constexpr int64_t kSmallConstant = 16;

// Appends dtype, dims and, for constants, "!" with the values of small integer ones. False: a dim has no number.
bool append_value(std::string& text, const ir::Value& v, const Sizes& sizes) {
  const auto dims = dims_at(v.shape(), sizes);
  if (!dims) return false;
  text += fmt::format("{}{}", dtype_name(v.dtype()), to_string(*dims));
  if (!v.constant) return true;
  text += '!';
  if (!is_integer(v.dtype()) || v.constant->size() > kSmallConstant) return true;
  if (auto values = to_int64s(v.constant->view())) text += fmt::format("{{{}}}", fmt::join(*values, ","));
  return true;
}

bool append_body(std::string& text, const ir::Graph& body, const Sizes& sizes) {
  std::unordered_map<const ir::Value*, std::string> names;
  for (size_t i = 0; i < body.inputs().size(); ++i) names[body.inputs()[i]] = fmt::format("%{}", i);
  size_t next = body.inputs().size();
  text += " {";
  for (const auto& node : body.nodes()) {
    text += ' ' + node->op.str();
    for (const ir::Value* v : node->inputs) {
      text += ' ';
      if (!v)
        text += '_';
      else if (auto it = names.find(v); it != names.end())
        text += it->second;
      else if (!append_value(text, *v, sizes))
        return false;
    }
    for (const auto& inner : node->bodies)
      if (!append_body(text, *inner, sizes)) return false;
    for (const ir::Value* v : node->outputs) names[v] = fmt::format("%{}", next++);
    text += ';';
  }
  text += " }";
  return true;
}

double elements(const ir::Value* v, const Sizes& sizes) {
  double n = 1;
  if (!v) return 0;
  for (const Dim& d : v->shape()) {
    auto value = d.eval(sizes);
    n *= value ? static_cast<double>(*value) : 16.0;
  }
  return n;
}

}  // namespace

std::optional<Dims> dims_at(const Shape& shape, const Sizes& sizes) {
  Dims dims;
  for (const Dim& d : shape) {
    auto value = d.eval(sizes);
    if (!value || *value < 0) return std::nullopt;
    dims.push_back(*value);
  }
  if (!checked_size(dims)) return std::nullopt;
  return dims;
}

std::optional<std::string> problem_key(const Problem& problem, const Sizes& sizes) {
  std::string text = problem.node.op.str();
  for (const ir::Value* v : problem.node.inputs) {
    text += ' ';
    if (!v)
      text += '_';
    else if (!append_value(text, *v, sizes))
      return std::nullopt;
  }
  text += " ->";
  for (const ir::Value* v : problem.node.outputs) {
    text += ' ';
    if (!append_value(text, *v, sizes)) return std::nullopt;
  }
  for (const auto& body : problem.node.bodies)
    if (!append_body(text, *body, sizes)) return std::nullopt;
  return text;
}

double work_of(const ir::Node& node, const Sizes& sizes) {
  double work = 1;
  for (const ir::Value* v : node.inputs) work += elements(v, sizes);
  for (const ir::Value* v : node.outputs) work += elements(v, sizes);
  if (node.outputs.empty()) return work;
  const double out = elements(node.outputs[0], sizes), weights = elements(node.in(1), sizes);
  auto axis = [&](const ir::Value* v, size_t from_end) { return v && v->rank() >= from_end ? dims_at({v->shape()[v->rank() - from_end]}, sizes).value_or(Dims{16})[0] : 1; };
  if (node.as<ops::Conv>() && node.has(1) && node.in(1)->rank() > 0)
    work += out * weights / static_cast<double>(std::max<int64_t>(1, axis(node.in(1), node.in(1)->rank())));
  else if (node.as<ops::ConvTranspose>() && node.has(1) && node.in(1)->rank() > 1)
    work += elements(node.in(0), sizes) * weights / static_cast<double>(std::max<int64_t>(1, axis(node.in(1), node.in(1)->rank())));
  else if (node.as<ops::MatMul>())
    work += out * static_cast<double>(axis(node.in(0), 1));
  else if (const auto* gemm = node.as<ops::Gemm>())
    work += out * static_cast<double>(axis(node.in(0), gemm->trans_a ? 2 : 1));
  for (const auto& body : node.bodies)
    for (const auto& inner : body->nodes()) work += work_of(*inner, sizes);
  return work;
}

}  // namespace carnot::tactics
