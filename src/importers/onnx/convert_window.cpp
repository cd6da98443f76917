// SPDX-License-Identifier: Apache-2.0
// HannWindow, HammingWindow, BlackmanWindow: sums of cosines over i = 0 .. size-1 of a period of size (or size - 1) steps.
#include <cmath>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs window(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  CARNOT_ASSIGN(const int64_t periodic, n.int_attr("periodic", 1));
  CARNOT_ASSIGN(const int64_t datatype, n.int_attr("output_datatype", 1));
  CARNOT_ASSIGN(const DType dtype, dtype_of(static_cast<int32_t>(datatype & 0xffff)));
  // w = a - b cos(2 pi i / period) + c cos(4 pi i / period)
  const double b = n.type() == "HammingWindow" ? 1 - 25.0 / 46 : 0.5;
  const double a = n.type() == "HammingWindow" ? 25.0 / 46 : n.type() == "HannWindow" ? 0.5 : 0.42;
  const double c = n.type() == "BlackmanWindow" ? 0.08 : 0;
  const auto number = [&](double v) { return n.build().scalar(DType::kF64, v); };
  CARNOT_ASSIGN(ir::Value * size, n.emit1("cast", {n.in(0)}, {{"to", DType::kF64}}));
  CARNOT_ASSIGN(ir::Value * index, n.emit1("range", {number(0), size, number(1)}));
  ir::Value* period = size;
  if (periodic == 0) {
    CARNOT_ASSIGN(period, n.emit1("sub", {size, number(1)}));
  }
  CARNOT_ASSIGN(ir::Value * scaled, n.emit1("mul", {index, number(2 * M_PI)}));
  CARNOT_ASSIGN(ir::Value * angle, n.emit1("div", {scaled, period}));
  CARNOT_ASSIGN(ir::Value * once, n.emit1("cos", {angle}));
  CARNOT_ASSIGN(ir::Value * first, n.emit1("mul", {once, number(-b)}));
  CARNOT_ASSIGN(ir::Value * y, n.emit1("add", {first, number(a)}));
  if (c != 0) {
    CARNOT_ASSIGN(ir::Value * double_angle, n.emit1("mul", {angle, number(2)}));
    CARNOT_ASSIGN(ir::Value * twice, n.emit1("cos", {double_angle}));
    CARNOT_ASSIGN(ir::Value * second, n.emit1("mul", {twice, number(c)}));
    CARNOT_ASSIGN(y, n.emit1("add", {y, second}));
  }
  return n.emit("cast", {y}, {{"to", dtype}});
}

}  // namespace

CARNOT_CONVERTERS(convert_window, {"HannWindow", 17, kLatest, window}, {"HammingWindow", 17, kLatest, window},
                  {"BlackmanWindow", 17, kLatest, window})

}  // namespace carnot::onnx
