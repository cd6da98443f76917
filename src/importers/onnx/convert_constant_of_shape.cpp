// SPDX-License-Identifier: Apache-2.0
// ConstantOfShape: the fill value is a one-element tensor.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs constant_of_shape(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  if (!n.has_attr("value")) return n.emit("constant_of_shape", {n.in(0)});
  CARNOT_ASSIGN(const Constant value, n.tensor_attr("value"));
  if (value.size() != 1) return invalid("attribute 'value' must hold one element, it has shape {}", to_string(value.dims));
  Attrs attrs{{"dtype", value.dtype}};
  if (is_float(value.dtype)) {
    CARNOT_ASSIGN(const std::vector<double> number, to_doubles(value.view()));
    attrs.emplace_back("value", number[0]);
  } else {
    CARNOT_ASSIGN(const std::vector<int64_t> number, to_int64s(value.view()));
    attrs.emplace_back("ivalue", number[0]);
  }
  return n.emit("constant_of_shape", {n.in(0)}, attrs);
}

}  // namespace

CARNOT_CONVERTERS(convert_constant_of_shape, {"ConstantOfShape", 9, kLatest, constant_of_shape})

}  // namespace carnot::onnx
