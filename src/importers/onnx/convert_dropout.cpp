// SPDX-License-Identifier: Apache-2.0
// Dropout: nothing, at inference. The mask says that everything was kept.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs dropout(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 3));
  ir::Value* y = n.in(0);
  if (n.has(2)) {
    // With a ratio of 0 training drops nothing either.
    bool keeps_all = false;
    if (n.has(1) && n.in(1)->constant) {
      CARNOT_ASSIGN(const std::vector<double> ratio, to_doubles(n.in(1)->constant->view()));
      keeps_all = ratio.size() == 1 && ratio[0] == 0;
    }
    const std::string message = "training_mode is on; Carnot runs networks, it does not train them";
    if (!keeps_all && n.in(2)->constant) {
      CARNOT_ASSIGN(const std::vector<int64_t> training, n.known_ints(2, "training_mode"));
      if (!training.empty() && training[0] != 0) return fail(Code::kUnsupported, "{}", message);
    } else if (!keeps_all) {
      CARNOT_ASSIGN(y, n.emit1("expect", {y, n.in(2)}, {{"value", int64_t{0}}, {"message", message}}));
    }
  }
  std::vector<ir::Value*> outputs{y};
  if (n.outputs() > 1) {
    CARNOT_ASSIGN(ir::Value * shape, n.emit1("shape", {n.in(0)}));
    const DType dtype = n.opset() < 10 ? n.in(0)->dtype() : DType::kBool;
    CARNOT_ASSIGN(ir::Value * mask, n.emit1("constant_of_shape", {shape}, {{"dtype", dtype}, {"value", 1.0}, {"ivalue", int64_t{1}}}));
    outputs.push_back(mask);
  }
  return outputs;
}

}  // namespace

CARNOT_CONVERTERS(convert_dropout, {"Dropout", 1, kLatest, dropout})

}  // namespace carnot::onnx
