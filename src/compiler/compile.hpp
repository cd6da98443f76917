// SPDX-License-Identifier: Apache-2.0
// The compiler's entry: graph in, engine bytes out.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::compiler {

// The range of an input's dims: one entry where min = opt = max.
struct ShapeRange {
  Dims min, opt, max;
};

struct BuildOptions {
  std::string device = "cpu";
  std::map<std::string, ShapeRange> shapes;  // inputs that are not named keep their symbolic shapes
  std::string precision = "fp32";            // fp32, tf32, bf16 or fp16
  std::vector<std::string> layer_precision;  // GLOB:TYPE, see passes/support_precision.hpp; the last that matches wins
  std::string calibration;                   // data to find scales with; refused until int8 and fp8 are there
  std::string effort = "heuristic";
  std::string stop_after;  // phase: compile() then fails with kCancelled after `on_stop` was called
  std::function<void(const ir::Graph&, std::string_view phase)> on_stop;
  // Called between steps with the phase's name and the share of the build that is done, 0..1. False cancels the build.
  std::function<bool(std::string_view phase, double done)> progress;
};

// Same graph and options, same bytes. Errors name the node.
Result<std::vector<std::byte>> compile(std::unique_ptr<ir::Graph> graph, const BuildOptions& options);

}  // namespace carnot::compiler
