// SPDX-License-Identifier: Apache-2.0
// The rows of pointwise.inc as data: what an element-wise operator is called, takes and gives. The expressions themselves are
// compiled where they are used (pointwise_scalar.hpp, the CPU vector kernels) or taken as text.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace carnot {

enum class PointwiseOp : uint16_t {
#define CARNOT_POINTWISE(id, name, arity, types, result, p0, d0, p1, d1, onnx, since, ...) k##id,
#include "base/pointwise.inc"
};

enum PointwiseTypes : uint8_t { kPointwiseFloats = 1, kPointwiseIntegers = 2, kPointwiseBools = 4 };

struct PointwiseRow {
  PointwiseOp op;
  std::string_view name;
  int arity;
  int types;            // a sum of PointwiseTypes
  bool gives_bool;      // else the dtype of the (first) operand
  bool has_operator;    // false: a part, see pointwise.inc
  std::string_view alpha_name, beta_name;  // attributes; empty = unused
  double alpha, beta;                      // their defaults
  std::string_view onnx;                   // "Op", "domain:Op" or empty
  int since;
  std::string_view text;  // the expression
  constexpr int parameters() const { return (alpha_name.empty() ? 0 : 1) + (beta_name.empty() ? 0 : 1); }
};

namespace detail {
inline constexpr int kF = kPointwiseFloats, kI = kPointwiseIntegers, kB = kPointwiseBools;
inline constexpr bool kSame = false, kBool = true;
inline constexpr PointwiseRow kPointwiseRows[] = {
#define CARNOT_POINTWISE(id, name, arity, types, result, p0, d0, p1, d1, onnx, since, ...) \
  {PointwiseOp::k##id, name, arity, types, result, true, p0, p1, d0, d1, onnx, since, #__VA_ARGS__},
#define CARNOT_POINTWISE_PART(id, name, arity, types, result, p0, d0, p1, d1, onnx, since, ...) \
  {PointwiseOp::k##id, name, arity, types, result, false, p0, p1, d0, d1, onnx, since, #__VA_ARGS__},
#include "base/pointwise.inc"
};
}  // namespace detail

inline constexpr int kPointwiseRowCount = sizeof(detail::kPointwiseRows) / sizeof(PointwiseRow);

constexpr const PointwiseRow& pointwise_row(PointwiseOp op) { return detail::kPointwiseRows[static_cast<int>(op)]; }
// The row of this name ("relu"), operators and parts alike.
constexpr std::optional<PointwiseOp> find_pointwise(std::string_view name) {
  for (const PointwiseRow& row : detail::kPointwiseRows)
    if (row.name == name) return row.op;
  return std::nullopt;
}

}  // namespace carnot
