// SPDX-License-Identifier: Apache-2.0
// Split: before opset 13 the sizes are an attribute (in opset 1 an attribute or an input). Without sizes, the number of outputs that the
// node lists counts, unnamed ones at the end included.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs split(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 2));
  CARNOT_ASSIGN(Attrs attrs, n.attrs({"split"}));
  CARNOT_ASSIGN(const std::vector<int64_t> sizes, n.ints_attr("split"));
  ir::Value* parts = n.in(1);
  if (!sizes.empty()) {
    if (n.opset() >= 13) return invalid("attribute 'split' became an input in opset 13");
    parts = n.ints(sizes);
  }
  return n.emit("split", {n.in(0), parts}, attrs, n.listed_outputs());
}

}  // namespace

CARNOT_CONVERTERS(convert_split, {"Split", 1, kLatest, split})

}  // namespace carnot::onnx
