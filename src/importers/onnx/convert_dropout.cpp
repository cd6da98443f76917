// SPDX-License-Identifier: Apache-2.0
// Dropout: nothing, at inference. The mask says that everything was kept.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs dropout(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 3));
  if (n.has(2)) {
    // With a ratio of 0 training drops nothing either.
    CARNOT_ASSIGN(const std::vector<int64_t> training, n.known_ints(2, "training_mode"));
    bool drops = !training.empty() && training[0] != 0;
    if (drops && n.has(1) && n.in(1)->constant) {
      CARNOT_ASSIGN(const std::vector<double> ratio, to_doubles(n.in(1)->constant->view()));
      drops = ratio.empty() || ratio[0] != 0;
    }
    if (drops) return fail(Code::kUnsupported, "training_mode is on; export the model for inference");
  }
  std::vector<ir::Value*> outputs{n.in(0)};
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
