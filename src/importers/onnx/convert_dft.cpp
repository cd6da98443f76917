// SPDX-License-Identifier: Apache-2.0
// DFT before opset 20: the axis is an attribute (default 1).
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs dft(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 2));
  CARNOT_ASSIGN(const int64_t axis, n.int_attr("axis", 1));
  CARNOT_ASSIGN(const Attrs attrs, n.attrs({"axis"}));
  return n.emit("dft", {n.in(0), n.in(1), n.build().constant(Constant::scalar(axis))}, attrs);
}

}  // namespace

CARNOT_CONVERTERS(convert_dft, {"DFT", 17, 19, dft})

}  // namespace carnot::onnx
