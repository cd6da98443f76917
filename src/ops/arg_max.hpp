// SPDX-License-Identifier: Apache-2.0
// y = the place of the largest (arg_max) or smallest (arg_min) element along `axis`. The first NaN counts as both.
// Source: ONNX ArgMax, ArgMin 1, 11, 12, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ArgMax {
  static constexpr OpInfo info{.name = "arg_max", .inputs = {"x"}, .onnx = {{"ArgMax"}}};
  int64_t axis = 0;
  int64_t keepdims = 1;
  int64_t select_last_index = 0;  // among equals the last one
  static constexpr auto fields() {
    return std::tuple{field("axis", &ArgMax::axis), field("keepdims", &ArgMax::keepdims),
                      field("select_last_index", &ArgMax::select_last_index)};
  }
  bool operator==(const ArgMax&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<ArgMax> permuted(const std::vector<int64_t>& perm) const;  // only with keepdims
};

struct ArgMin {
  static constexpr OpInfo info{.name = "arg_min", .inputs = {"x"}, .onnx = {{"ArgMin"}}};
  int64_t axis = 0;
  int64_t keepdims = 1;
  int64_t select_last_index = 0;
  static constexpr auto fields() {
    return std::tuple{field("axis", &ArgMin::axis), field("keepdims", &ArgMin::keepdims),
                      field("select_last_index", &ArgMin::select_last_index)};
  }
  bool operator==(const ArgMin&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<ArgMin> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
