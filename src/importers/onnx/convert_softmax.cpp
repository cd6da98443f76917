// SPDX-License-Identifier: Apache-2.0
// Softmax, LogSoftmax and Hardmax before opset 13: the input counts as a matrix, its rows the dims before `axis` (default 1).
#include <algorithm>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs flattened(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(int64_t axis, n.int_attr("axis", 1));
  ir::Value* x = n.in(0);
  const std::string op = n.type() == "Softmax" ? "softmax" : n.type() == "LogSoftmax" ? "log_softmax" : "hardmax";
  CARNOT_ASSIGN(axis, normalize_axis(axis, std::max<size_t>(x->rank(), 1)));
  if (static_cast<size_t>(axis) + 1 == x->rank()) return n.emit(op, {x}, {{"axis", int64_t{-1}}});
  CARNOT_ASSIGN(ir::Value * shape, n.emit1("shape", {x}));
  CARNOT_ASSIGN(ir::Value * matrix, n.emit1("flatten", {x}, {{"axis", axis}}));
  CARNOT_ASSIGN(ir::Value * y, n.emit1(op, {matrix}, {{"axis", int64_t{-1}}}));
  return n.emit("reshape", {y, shape}, {{"allowzero", int64_t{1}}});
}

}  // namespace

CARNOT_CONVERTERS(convert_softmax, {"Softmax", 1, 12, flattened}, {"LogSoftmax", 1, 12, flattened}, {"Hardmax", 1, 12, flattened})

}  // namespace carnot::onnx
