// SPDX-License-Identifier: Apache-2.0
// GridSample before opset 20 calls its modes bilinear and bicubic.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs grid_sample(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 2));
  CARNOT_ASSIGN(const std::string mode, n.string_attr("mode", "bilinear"));
  CARNOT_ASSIGN(Attrs attrs, n.attrs({"mode"}));
  attrs.emplace_back("mode", mode == "bilinear" ? std::string("linear") : mode == "bicubic" ? std::string("cubic") : mode);
  return n.emit("grid_sample", n.all_inputs(), attrs);
}

}  // namespace

CARNOT_CONVERTERS(convert_grid_sample, {"GridSample", 16, 19, grid_sample})

}  // namespace carnot::onnx
