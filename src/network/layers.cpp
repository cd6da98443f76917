// SPDX-License-Identifier: Apache-2.0
// The shorthands that are more than one line.
#include "carnot/network.hpp"

namespace carnot {
namespace {

// Lists that are empty mean the operator's default and are left out.
void set(Attributes& attributes, const char* name, const std::vector<int64_t>& list) {
  if (!list.empty()) attributes.emplace_back(name, list);
}

Attributes conv_attributes(const ConvSettings& s) {
  Attributes out{{"group", s.groups}};
  set(out, "strides", s.strides);
  set(out, "pads", s.pads);
  set(out, "dilations", s.dilations);
  return out;
}

Attributes pool_attributes(const std::vector<int64_t>& kernel, const PoolSettings& s) {
  Attributes out{{"kernel_shape", kernel}, {"ceil_mode", s.ceil_mode}};
  set(out, "strides", s.strides);
  set(out, "pads", s.pads);
  return out;
}

}  // namespace

Value Network::conv(const Value& x, const Value& weights, const ConvSettings& settings, const std::string& name) {
  return add("conv", {x, weights, settings.bias}, conv_attributes(settings), name);
}

Value Network::conv_transpose(const Value& x, const Value& weights, const ConvSettings& settings, const std::string& name) {
  return add("conv_transpose", {x, weights, settings.bias}, conv_attributes(settings), name);
}

Value Network::linear(const Value& x, const Value& weights, const Value& bias, const std::string& name) {
  const Value y = add("matmul", {x, weights}, {}, name);
  return bias ? add("add", {y, bias}, {}, name.empty() ? name : name + ".bias") : y;
}

Value Network::max_pool(const Value& x, const std::vector<int64_t>& kernel, const PoolSettings& settings, const std::string& name) {
  return add("max_pool", {x}, pool_attributes(kernel, settings), name);
}

Value Network::average_pool(const Value& x, const std::vector<int64_t>& kernel, const PoolSettings& settings, const std::string& name) {
  Attributes attributes = pool_attributes(kernel, settings);
  attributes.emplace_back("count_include_pad", settings.count_include_pad);
  return add("average_pool", {x}, attributes, name);
}

Network::LstmOutputs Network::lstm(const Value& x, const Value& w, const Value& r, const LstmSettings& s, const std::string& name) {
  const std::vector<Value> out =
      add_many("lstm", {x, w, r, s.bias, s.sequence_lens, s.initial_h, s.initial_c}, {{"direction", s.direction}}, {.name = name, .outputs = 3});
  return {out[0], out[1], out[2]};
}

}  // namespace carnot
