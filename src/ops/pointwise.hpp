// SPDX-License-Identifier: Apache-2.0
// The element-wise operators: one per line of base/pointwise.inc, out[i] = expression(a[i], b[i]) with numpy broadcasting.
//
//   if (auto call = pointwise_call(node.op)) use(call->op, call->alpha, call->beta);   // any of them, where and clip included
//   if (node.op.as<ops::Relu>()) ...
#pragma once
#include "base/pointwise.hpp"
#include "ops/operator.hpp"

namespace carnot::ops {

namespace detail {
consteval OpInfo pointwise_info(const PointwiseRow& row) {
  OpInfo info{.name = row.name, .pointwise = true};
  if (row.arity == 1)
    info.inputs = {"x"};
  else
    info.inputs = {"a", "b"};
  if (!row.onnx.empty()) {
    const size_t colon = row.onnx.find(':');
    if (colon == std::string_view::npos)
      info.onnx = {{row.onnx, row.since}};
    else
      info.onnx = {{row.onnx.substr(colon + 1), row.since, 1 << 30, row.onnx.substr(0, colon)}};
  }
  return info;
}
}  // namespace detail

// The shared bodies. Also for operators outside the table whose computation is a row (gelu, bit_shift).
Result<Facts> infer_pointwise(PointwiseOp op, double alpha, double beta, const InferCtx& ctx);
Status evaluate_pointwise(PointwiseOp op, double alpha, double beta, EvalCtx& ctx);

template <PointwiseOp kOp>
struct PointwiseOperator {
  static constexpr PointwiseRow row = pointwise_row(kOp);
  static constexpr OpInfo info = detail::pointwise_info(row);
  double alpha = row.alpha;
  double beta = row.beta;
  static constexpr auto fields() {
    if constexpr (row.parameters() == 0)
      return std::tuple{};
    else if constexpr (row.parameters() == 1)
      return std::tuple{field(row.alpha_name, &PointwiseOperator::alpha)};
    else
      return std::tuple{field(row.alpha_name, &PointwiseOperator::alpha), field(row.beta_name, &PointwiseOperator::beta)};
  }
  bool operator==(const PointwiseOperator&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const { return infer_pointwise(kOp, alpha, beta, ctx); }
  Status evaluate(EvalCtx& ctx) const { return evaluate_pointwise(kOp, alpha, beta, ctx); }
  std::optional<PointwiseOperator> permuted(const std::vector<int64_t>&) const { return *this; }
};

#define CARNOT_POINTWISE(id, ...) using id = PointwiseOperator<PointwiseOp::k##id>;
#define CARNOT_POINTWISE_PART(id, ...)
#include "base/pointwise.inc"

// x * Phi(x), exactly or by the tanh approximation. Source: ONNX Gelu 20.
struct Gelu {
  static constexpr OpInfo info{.name = "gelu", .inputs = {"x"}, .onnx = {{"Gelu", 20}}, .pointwise = true};
  std::string approximate = "none";  // or "tanh"
  static constexpr auto fields() { return std::tuple{field("approximate", &Gelu::approximate)}; }
  bool operator==(const Gelu&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Gelu> permuted(const std::vector<int64_t>&) const { return *this; }
};

// a << b or a >> b. Source: ONNX BitShift 11.
struct BitShift {
  static constexpr OpInfo info{.name = "bit_shift", .inputs = {"a", "b"}, .onnx = {{"BitShift", 11}}, .pointwise = true};
  std::string direction;  // "LEFT" or "RIGHT"
  static constexpr auto fields() { return std::tuple{required_field("direction", &BitShift::direction)}; }
  bool operator==(const BitShift&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<BitShift> permuted(const std::vector<int64_t>&) const { return *this; }
};

// The row that an operator computes, with its parameters; none if it is no row (cast, or not element-wise). For clip an absent bound is
// minus or plus infinity.
struct PointwiseCall {
  PointwiseOp op;
  double alpha = 0, beta = 0;
};
std::optional<PointwiseCall> pointwise_call(const Operator& op);

}  // namespace carnot::ops
