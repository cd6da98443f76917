// SPDX-License-Identifier: Apache-2.0
// Identity: another name for its input; no node is needed.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs identity(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  return std::vector<ir::Value*>{n.in(0)};
}

}  // namespace

CARNOT_CONVERTERS(convert_identity, {"Identity", 1, kLatest, identity})

}  // namespace carnot::onnx
