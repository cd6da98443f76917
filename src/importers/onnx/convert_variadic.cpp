// SPDX-License-Identifier: Apache-2.0
// Max, Min, Sum and Mean of any number of operands: a chain of operators with two.
#include <algorithm>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs chain(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(std::max<size_t>(n.inputs(), 1)));
  const std::string op = n.type() == "Max" ? "max" : n.type() == "Min" ? "min" : "add";
  ir::Value* y = n.in(0);
  for (size_t i = 1; i < n.inputs(); ++i) {
    CARNOT_ASSIGN(y, n.emit1(op, {y, n.in(i)}));
  }
  if (n.type() == "Mean" && n.inputs() > 1) return n.emit("div", {y, n.build().scalar(y->dtype(), static_cast<double>(n.inputs()))});
  return std::vector<ir::Value*>{y};
}

}  // namespace

CARNOT_CONVERTERS(convert_variadic, {"Max", 1, kLatest, chain}, {"Min", 1, kLatest, chain}, {"Sum", 1, kLatest, chain}, {"Mean", 1, kLatest, chain})

}  // namespace carnot::onnx
