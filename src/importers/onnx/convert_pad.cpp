// SPDX-License-Identifier: Apache-2.0
// Pad before opset 11: the amounts (called paddings in opset 1) and the fill value are attributes.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs pad(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const std::vector<int64_t> pads, n.ints_attr(n.opset() == 1 ? "paddings" : "pads"));
  CARNOT_ASSIGN(const std::string mode, n.string_attr("mode", "constant"));
  CARNOT_ASSIGN(const double value, n.float_attr("value", 0));
  ir::Value* fill = n.build().scalar(n.in(0)->dtype(), value);
  return n.emit("pad", {n.in(0), n.ints(pads), fill}, {{"mode", mode}});
}

}  // namespace

CARNOT_CONVERTERS(convert_pad, {"Pad", 1, 10, pad})

}  // namespace carnot::onnx
