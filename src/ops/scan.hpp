// SPDX-License-Identifier: Apache-2.0
// state..., stacked... = for each slice of the scanned values: state..., results... = body(state..., slices...,
// captures...) Operands: the initial state, the scanned values, then every outer value that the body uses. Axes and
// directions are lists for the scanned values and for the stacked results; a list left out means axis 0, forward.
// Direction 1 goes from the end. Source: ONNX Scan 9-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Scan {
  static constexpr OpInfo info{.name = "scan", .inputs = {"values*"}, .outputs = {"y*"}, .bodies = 1};
  int64_t num_scan_inputs = 1;
  int64_t num_state = 0;
  std::vector<int64_t> scan_input_axes;
  std::vector<int64_t> scan_input_directions;
  std::vector<int64_t> scan_output_axes;
  std::vector<int64_t> scan_output_directions;
  static constexpr auto fields() {
    return std::tuple{required_field("num_scan_inputs", &Scan::num_scan_inputs),
                      required_field("num_state", &Scan::num_state),
                      field("scan_input_axes", &Scan::scan_input_axes),
                      field("scan_input_directions", &Scan::scan_input_directions),
                      field("scan_output_axes", &Scan::scan_output_axes),
                      field("scan_output_directions", &Scan::scan_output_directions)};
  }
  bool operator==(const Scan&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
