// SPDX-License-Identifier: Apache-2.0
// Resize in opset 10 and Upsample: scales alone, positions scaled without an offset. Nearest rounds down when enlarging, up when shrinking.
#include <algorithm>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs resize(NodeContext& n, ir::Value* scales) {
  CARNOT_ASSIGN(const std::string mode, n.string_attr("mode", "nearest"));
  bool shrinks = false;
  if (scales->constant) {
    CARNOT_ASSIGN(const std::vector<double> factors, to_doubles(scales->constant->view()));
    shrinks = std::any_of(factors.begin(), factors.end(), [](double f) { return f < 1; });
  }
  return n.emit("resize", {n.in(0), nullptr, scales},
                {{"mode", mode == "bilinear" ? std::string("linear") : mode}, {"coordinate_transformation_mode", std::string("asymmetric")},
                 {"nearest_mode", std::string(shrinks ? "ceil" : "floor")}});
}

Outputs with_input(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 2));
  return resize(n, n.in(1));
}

Outputs with_attribute(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  std::vector<float> scales;
  if (const AttributeProto* a = n.attr("scales")) {
    scales = a->floats;
  } else {
    CARNOT_ASSIGN(const double height, n.float_attr("height_scale", 1));
    CARNOT_ASSIGN(const double width, n.float_attr("width_scale", 1));
    scales = {1, 1, static_cast<float>(height), static_cast<float>(width)};
  }
  return resize(n, n.build().constant(Constant::from({static_cast<int64_t>(scales.size())}, scales)));
}

}  // namespace

CARNOT_CONVERTERS(convert_resize, {"Upsample", 1, 8, with_attribute}, {"Upsample", 9, 9, with_input}, {"Resize", 10, 10, with_input})

}  // namespace carnot::onnx
