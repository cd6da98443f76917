// SPDX-License-Identifier: Apache-2.0
// NegativeLogLikelihoodLoss: loss = -weight[label] * input[n, label, d...]; SoftmaxCrossEntropyLoss: the same of log_softmax(scores), which
// is its second output. Labels equal to ignore_index count nothing, in the mean neither.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Result<ir::Value*> likelihood_loss(NodeContext& n, ir::Value* input, ir::Value* labels, ir::Value* weights) {
  CARNOT_ASSIGN(const std::string reduction, n.string_attr("reduction", "mean"));
  CARNOT_ASSIGN(const int64_t ignored, n.int_attr("ignore_index", 0));
  const bool ignores = n.has_attr("ignore_index");
  const DType dtype = input->dtype();
  if (!is_integer(labels->dtype())) return invalid("input 1 (the labels) must be integers, it is {}", dtype_name(labels->dtype()));
  if (reduction != "mean" && reduction != "sum" && reduction != "none") return invalid("attribute 'reduction' is '{}', expected none, sum or mean", reduction);
  ir::Value* skip = nullptr;
  if (ignores) {
    CARNOT_ASSIGN(skip, n.emit1("equal", {labels, n.build().scalar(labels->dtype(), static_cast<double>(ignored))}));
    CARNOT_ASSIGN(labels, n.emit1("where", {skip, n.build().scalar(labels->dtype(), 0), labels}));
  }
  CARNOT_ASSIGN(ir::Value * index, n.emit1("unsqueeze", {labels, n.ints({1})}));
  CARNOT_ASSIGN(ir::Value * picked, n.emit1("gather_elements", {input, index}, {{"axis", int64_t{1}}}));
  CARNOT_ASSIGN(ir::Value * narrow, n.emit1("squeeze", {picked, n.ints({1})}));
  CARNOT_ASSIGN(ir::Value * loss, n.emit1("neg", {narrow}));
  ir::Value* weight = nullptr;
  if (weights) {
    CARNOT_ASSIGN(weight, n.emit1("gather", {weights, labels}, {{"axis", int64_t{0}}}));
  } else if (ignores) {
    CARNOT_ASSIGN(ir::Value * shape, n.emit1("shape", {labels}));
    CARNOT_ASSIGN(weight, n.emit1("expand", {n.build().scalar(dtype, 1), shape}));
  }
  if (ignores) {
    CARNOT_ASSIGN(weight, n.emit1("where", {skip, n.build().scalar(dtype, 0), weight}));
    CARNOT_ASSIGN(loss, n.emit1("where", {skip, n.build().scalar(dtype, 0), loss}));
  }
  if (weight) {
    CARNOT_ASSIGN(loss, n.emit1("mul", {loss, weight}));
  }
  if (reduction == "none") return loss;
  const Attrs all{{"keepdims", int64_t{0}}};
  if (reduction == "mean" && !weight) return n.emit1("reduce_mean", {loss}, all);
  CARNOT_ASSIGN(ir::Value * sum, n.emit1("reduce_sum", {loss}, all));
  if (reduction == "sum") return sum;
  CARNOT_ASSIGN(ir::Value * total, n.emit1("reduce_sum", {weight}, all));
  return n.emit1("div", {sum, total});
}

Outputs negative_log_likelihood(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 3));
  CARNOT_ASSIGN(ir::Value * loss, likelihood_loss(n, n.in(0), n.in(1), n.in(2)));
  return std::vector<ir::Value*>{loss};
}

Outputs softmax_cross_entropy(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 3));
  CARNOT_ASSIGN(ir::Value * log_probability, n.emit1("log_softmax", {n.in(0)}, {{"axis", int64_t{1}}}));
  CARNOT_ASSIGN(ir::Value * loss, likelihood_loss(n, log_probability, n.in(1), n.in(2)));
  return std::vector<ir::Value*>{loss, log_probability};
}

}  // namespace

CARNOT_CONVERTERS(convert_loss, {"NegativeLogLikelihoodLoss", 12, kLatest, negative_log_likelihood},
                  {"SoftmaxCrossEntropyLoss", 12, kLatest, softmax_cross_entropy})

}  // namespace carnot::onnx
