// SPDX-License-Identifier: Apache-2.0
// Slice before opset 10: starts, ends and axes are attributes.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs slice(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const std::vector<int64_t> starts, n.ints_attr("starts"));
  CARNOT_ASSIGN(const std::vector<int64_t> ends, n.ints_attr("ends"));
  CARNOT_ASSIGN(const std::vector<int64_t> axes, n.ints_attr("axes"));
  return n.emit("slice", {n.in(0), n.ints(starts), n.ints(ends), axes.empty() ? nullptr : n.ints(axes)});
}

}  // namespace

CARNOT_CONVERTERS(convert_slice, {"Slice", 1, 9, slice})

}  // namespace carnot::onnx
