// SPDX-License-Identifier: Apache-2.0
// Opsets 1 to 6. Element-wise operators with two operands broadcast only when `broadcast` is set, the second operand then being
// aligned at `axis` (else at the end); `consumed_inputs`, a hint about memory, stands on many operators and means nothing.
#include "importers/onnx/importer.hpp"

namespace carnot::onnx {
namespace {

Outputs emit_named(NodeContext& n, std::vector<ir::Value*> inputs, const Attrs& attrs) {
  CARNOT_ASSIGN(const Target target, find_target("", n.type(), 7));
  if (!target.op) return target.convert(n);
  return n.emit(target.op->info->name, std::move(inputs), attrs);
}

Outputs binary(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 2));
  CARNOT_ASSIGN(const int64_t broadcast, n.int_attr("broadcast", 0));
  CARNOT_ASSIGN(const Attrs attrs, n.attrs({"broadcast", "axis", "consumed_inputs"}));
  ir::Value *a = n.in(0), *b = n.in(1);
  if (broadcast != 0 && n.has_attr("axis") && b->rank() < a->rank()) {
    CARNOT_ASSIGN(int64_t axis, n.int_attr("axis", 0));
    CARNOT_ASSIGN(axis, normalize_axis(axis, a->rank()));
    std::vector<int64_t> added;
    for (size_t i = static_cast<size_t>(axis) + b->rank(); i < a->rank(); ++i) added.push_back(static_cast<int64_t>(b->rank() + added.size()));
    if (!added.empty()) {
      CARNOT_ASSIGN(b, n.emit1("unsqueeze", {b, n.ints(added)}));
    }
  }
  return emit_named(n, {a, b}, attrs);
}

Outputs unary(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1));
  CARNOT_ASSIGN(const Attrs attrs, n.attrs({"consumed_inputs"}));
  return emit_named(n, n.all_inputs(), attrs);
}

// A slope for each channel belongs to axis 1.
Outputs prelu(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 2));
  ir::Value *x = n.in(0), *slope = n.in(1);
  if (slope->rank() == 1 && x->rank() > 2 && !slope->shape()[0].is(1)) {
    std::vector<int64_t> added;
    for (size_t i = 2; i < x->rank(); ++i) added.push_back(static_cast<int64_t>(i - 1));
    CARNOT_ASSIGN(slope, n.emit1("unsqueeze", {slope, n.ints(added)}));
  }
  return n.emit("prelu", {x, slope});
}

Outputs gemm(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(3, 3));
  CARNOT_ASSIGN(const Attrs attrs, n.attrs({"broadcast"}));
  return n.emit("gemm", n.all_inputs(), attrs);
}

Outputs concat(NodeContext& n) {
  CARNOT_ASSIGN(const int64_t axis, n.int_attr("axis", 1));
  return n.emit("concat", n.all_inputs(), {{"axis", axis}});
}

Outputs reshape(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const std::vector<int64_t> shape, n.ints_attr("shape"));
  return n.emit("reshape", {n.in(0), n.ints(shape)});
}

// Inputs: the tensor, how often, along which axis.
Outputs tile(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(3, 3));
  CARNOT_ASSIGN(const std::vector<int64_t> tiles, n.known_ints(1, "repetitions"));
  CARNOT_ASSIGN(const std::vector<int64_t> axes, n.known_ints(2, "axis"));
  if (tiles.size() != 1 || axes.size() != 1) return invalid("inputs 1 and 2 must hold one number each");
  CARNOT_ASSIGN(const int64_t axis, normalize_axis(axes[0], n.in(0)->rank()));
  std::vector<int64_t> repeats(n.in(0)->rank(), 1);
  repeats[static_cast<size_t>(axis)] = tiles[0];
  return n.emit("tile", {n.in(0), n.ints(repeats)});
}

}  // namespace

CARNOT_CONVERTERS(convert_legacy, {"Add", 1, 6, binary}, {"Sub", 1, 6, binary}, {"Mul", 1, 6, binary}, {"Div", 1, 6, binary}, {"Pow", 1, 6, binary},
                  {"And", 1, 6, binary}, {"Or", 1, 6, binary}, {"Xor", 1, 6, binary}, {"Equal", 1, 6, binary}, {"Less", 1, 6, binary},
                  {"Greater", 1, 6, binary}, {"PRelu", 1, 6, prelu}, {"Gemm", 1, 6, gemm}, {"Concat", 1, 3, concat},
                  {"Reshape", 1, 4, reshape}, {"Tile", 1, 5, tile}, {"Abs", 1, 5, unary}, {"Neg", 1, 5, unary},
                  {"Reciprocal", 1, 5, unary}, {"Sqrt", 1, 5, unary}, {"Ceil", 1, 5, unary}, {"Floor", 1, 5, unary},
                  {"Exp", 1, 5, unary}, {"Log", 1, 5, unary}, {"Tanh", 1, 5, unary}, {"Relu", 1, 5, unary},
                  {"Sigmoid", 1, 5, unary}, {"LeakyRelu", 1, 5, unary}, {"Elu", 1, 5, unary}, {"Selu", 1, 5, unary},
                  {"HardSigmoid", 1, 5, unary}, {"InstanceNormalization", 1, 5, unary})

}  // namespace carnot::onnx
