// SPDX-License-Identifier: Apache-2.0
// DynamicQuantizeLSTM of com.microsoft, what ONNX Runtime's quantize_dynamic makes of an LSTM: an lstm with dequantized weights. ONNX Runtime
// also quantizes x and the state in every step, to go faster; here they stay as they are, so results differ by that rounding.
#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

// (w - zero) * scale as [directions, 4*hidden, k], from w [directions, k, 4*hidden] and parameters [directions] or [directions, 4*hidden].
Result<ir::Value*> weights(NodeContext& n, size_t w, size_t scale, size_t zero) {
  auto spread = [&](ir::Value* v) { return n.emit1("unsqueeze", {v, n.ints(v->rank() == 1 ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{1})}); };
  CARNOT_ASSIGN(ir::Value * value, n.emit1("cast", {n.in(w)}, {{"to", DType::kF32}}));
  CARNOT_ASSIGN(ir::Value * zeros, n.emit1("cast", {n.in(zero)}, {{"to", DType::kF32}}));
  CARNOT_ASSIGN(zeros, spread(zeros));
  CARNOT_ASSIGN(ir::Value * scales, spread(n.in(scale)));
  CARNOT_ASSIGN(value, n.emit1("sub", {value, zeros}));
  CARNOT_ASSIGN(value, n.emit1("mul", {value, scales}));
  return n.emit1("transpose", {value}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
}

Outputs convert(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(3, 12));
  for (size_t i = 8; i < 12; ++i)
    if (!n.has(i)) return invalid("input {} (scales and zero points of the weights) is missing", i);
  for (size_t i : {1, 2})
    if (n.in(i)->rank() != 3) return invalid("input {} (weights) has shape {}; [directions, k, 4*hidden] is needed", i, to_string(n.in(i)->shape()));
  for (size_t i = 8; i < 12; ++i)
    if (n.in(i)->rank() != 1 && n.in(i)->rank() != 2)
      return invalid("input {} has shape {}; [directions] or [directions, 4*hidden] is needed", i, to_string(n.in(i)->shape()));
  std::vector<ir::Value*> inputs{n.in(0)};
  CARNOT_ASSIGN(ir::Value * w, weights(n, 1, 8, 9));
  CARNOT_ASSIGN(ir::Value * r, weights(n, 2, 10, 11));
  inputs.insert(inputs.end(), {w, r});
  for (size_t i = 3; i < 8; ++i) inputs.push_back(n.in(i));
  CARNOT_ASSIGN(const Attrs attrs, n.attrs());
  return n.emit("lstm", std::move(inputs), attrs, n.outputs());
}

}  // namespace

CARNOT_CONVERTERS(convert_dynamic_quantize_lstm, {"DynamicQuantizeLSTM", 1, kLatest, convert, "com.microsoft"})

}  // namespace carnot::onnx
