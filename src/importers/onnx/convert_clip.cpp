// SPDX-License-Identifier: Apache-2.0
// Clip before opset 11: the bounds are attributes.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs clip(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  std::vector<ir::Value*> inputs{n.in(0), nullptr, nullptr};
  for (size_t i = 0; i < 2; ++i) {
    const char* name = i == 0 ? "min" : "max";
    if (!n.has_attr(name)) continue;
    CARNOT_ASSIGN(const double bound, n.float_attr(name, 0));
    inputs[i + 1] = n.build().scalar(n.in(0)->dtype(), bound);
  }
  return n.emit("clip", inputs);
}

}  // namespace

CARNOT_CONVERTERS(convert_clip, {"Clip", 1, 10, clip})

}  // namespace carnot::onnx
