// SPDX-License-Identifier: Apache-2.0
// BatchNormalization: before opset 9 with `spatial` and `is_test`, from 14 with `training_mode`, where the statistics are those of the
// batch and the running ones are outputs.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs training(NodeContext& n) {
  ir::Value* x = n.in(0);
  CARNOT_ASSIGN(const double epsilon, n.float_attr("epsilon", 1e-5));
  CARNOT_ASSIGN(const double momentum, n.float_attr("momentum", 0.9));
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < static_cast<int64_t>(x->rank()); ++i)
    if (i != 1) axes.push_back(i);
  const Attrs keep{{"axes", axes}}, drop{{"axes", axes}, {"keepdims", int64_t{0}}};
  CARNOT_ASSIGN(ir::Value * mean, n.emit1("reduce_mean", {x}, drop));
  CARNOT_ASSIGN(ir::Value * wide_mean, n.emit1("reduce_mean", {x}, keep));
  CARNOT_ASSIGN(ir::Value * centred, n.emit1("sub", {x, wide_mean}));
  CARNOT_ASSIGN(ir::Value * squares, n.emit1("mul", {centred, centred}));
  CARNOT_ASSIGN(ir::Value * var, n.emit1("reduce_mean", {squares}, drop));
  CARNOT_ASSIGN(ir::Value * y, n.emit1("batch_normalization", {x, n.in(1), n.in(2), mean, var}, {{"epsilon", epsilon}}));
  std::vector<ir::Value*> outputs{y};
  // running = old * momentum + new * (1 - momentum)
  for (size_t i = 1; i < n.outputs() && i < 3; ++i) {
    ir::Value* now = i == 1 ? mean : var;
    const DType dtype = n.in(2 + i)->dtype();
    CARNOT_ASSIGN(ir::Value * old, n.emit1("mul", {n.in(2 + i), n.build().scalar(dtype, momentum)}));
    CARNOT_ASSIGN(ir::Value * cast, n.emit1("cast", {now}, {{"to", dtype}}));
    CARNOT_ASSIGN(ir::Value * fresh, n.emit1("mul", {cast, n.build().scalar(dtype, 1 - momentum)}));
    CARNOT_ASSIGN(ir::Value * sum, n.emit1("add", {old, fresh}));
    outputs.push_back(sum);
  }
  return outputs;
}

Outputs batch_normalization(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(5, 5));
  CARNOT_ASSIGN(const int64_t spatial, n.int_attr("spatial", 1));
  CARNOT_ASSIGN(const int64_t is_test, n.int_attr("is_test", n.opset() < 7 ? 0 : 1));
  CARNOT_ASSIGN(const int64_t training_mode, n.int_attr("training_mode", 0));
  if (spatial != 1) return fail(Code::kUnsupported, "attribute spatial = 0 (statistics of each element) is not supported");
  if (training_mode != 0) return training(n);
  if (n.outputs() > 1) return fail(Code::kUnsupported, "the outputs of training are not supported{}; export the model for inference", is_test ? "" : " (is_test = 0)");
  CARNOT_ASSIGN(const double epsilon, n.float_attr("epsilon", 1e-5));
  return n.emit("batch_normalization", n.all_inputs(), {{"epsilon", epsilon}});
}

}  // namespace

CARNOT_CONVERTERS(convert_batch_normalization, {"BatchNormalization", 1, kLatest, batch_normalization})

}  // namespace carnot::onnx
