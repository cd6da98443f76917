// SPDX-License-Identifier: Apache-2.0
// Squeeze and Unsqueeze before opset 13: the axes are an attribute.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs squeeze(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const std::vector<int64_t> axes, n.ints_attr("axes"));
  if (axes.empty()) return n.emit("squeeze", {n.in(0)});
  return n.emit("squeeze", {n.in(0), n.ints(axes)});
}

Outputs unsqueeze(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const std::vector<int64_t> axes, n.ints_attr("axes"));
  if (axes.empty()) return invalid("attribute 'axes' is missing");
  return n.emit("unsqueeze", {n.in(0), n.ints(axes)});
}

}  // namespace

CARNOT_CONVERTERS(convert_squeeze, {"Squeeze", 1, 12, squeeze}, {"Unsqueeze", 1, 12, unsqueeze})

}  // namespace carnot::onnx
