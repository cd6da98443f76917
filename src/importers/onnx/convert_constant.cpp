// SPDX-License-Identifier: Apache-2.0
// Constant: one attribute holds the value, in one of several forms (from opset 12; before, `value` or from 11 `sparse_value`).
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs one(NodeContext& n, Constant c) { return std::vector<ir::Value*>{n.build().constant(std::move(c))}; }

Outputs constant(NodeContext& n) {
  if (n.inputs() > 0) return invalid("takes no inputs, got {}", n.inputs());
  if (n.has_attr("value")) {
    CARNOT_ASSIGN(Constant c, n.tensor_attr("value"));
    return one(n, std::move(c));
  }
  if (n.has_attr("sparse_value")) {
    CARNOT_ASSIGN(Constant c, n.sparse_attr("sparse_value"));
    return one(n, std::move(c));
  }
  if (n.has_attr("value_float")) {
    CARNOT_ASSIGN(const double value, n.float_attr("value_float", 0));
    return one(n, Constant::scalar(static_cast<float>(value)));
  }
  if (n.has_attr("value_int")) {
    CARNOT_ASSIGN(const int64_t value, n.int_attr("value_int", 0));
    return one(n, Constant::scalar(value));
  }
  if (const AttributeProto* a = n.attr("value_floats")) {
    if (a->type != AttributeProto::kFloats) return invalid("attribute 'value_floats' does not hold floats");
    return one(n, Constant::from({static_cast<int64_t>(a->floats.size())}, a->floats));
  }
  if (n.has_attr("value_ints")) {
    CARNOT_ASSIGN(const std::vector<int64_t> values, n.ints_attr("value_ints"));
    return one(n, Constant::from({static_cast<int64_t>(values.size())}, values));
  }
  if (n.has_attr("value_string") || n.has_attr("value_strings")) return fail(Code::kUnsupported, "constants of type string are not supported");
  return invalid("has none of the attributes value, value_float, value_int, value_floats, value_ints, sparse_value");
}

}  // namespace

CARNOT_CONVERTERS(convert_constant, {"Constant", 1, kLatest, constant})

}  // namespace carnot::onnx
