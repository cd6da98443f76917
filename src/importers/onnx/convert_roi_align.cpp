// SPDX-License-Identifier: Apache-2.0
// RoiAlign in opset 10 does not shift boxes by half an element.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs roi_align(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(3, 3));
  CARNOT_ASSIGN(Attrs attrs, n.attrs());
  attrs.emplace_back("coordinate_transformation_mode", std::string("output_half_pixel"));
  return n.emit("roi_align", n.all_inputs(), attrs);
}

}  // namespace

CARNOT_CONVERTERS(convert_roi_align, {"RoiAlign", 10, 15, roi_align})

}  // namespace carnot::onnx
