// SPDX-License-Identifier: Apache-2.0
// TopK before opset 10: k is an attribute.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs top_k(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const int64_t k, n.int_attr("k", 0));
  CARNOT_ASSIGN(const Attrs attrs, n.attrs({"k"}));
  return n.emit("topk", {n.in(0), n.ints({k})}, attrs, 2);
}

}  // namespace

CARNOT_CONVERTERS(convert_top_k, {"TopK", 1, 9, top_k})

}  // namespace carnot::onnx
