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

struct CheckReport;
struct TuneReport;
class TrialMachine;

// The range of an input's dims: fixed where min = max. Kernels are chosen and timed at opt; sessions reserve their memory for max and
// refuse what lies outside.
struct ShapeRange {
  Dims min, opt, max;
};

struct BuildOptions {
  std::string device = "cpu";
  std::map<std::string, ShapeRange> shapes;  // inputs that are not named keep their symbolic shapes
  std::string precision = "fp32";            // fp32, tf32, bf16 or fp16
  std::vector<std::string> layer_precision;  // GLOB:TYPE, see passes/support_precision.hpp; the last that matches wins
  std::string calibration;                   // data to find scales with; refused until int8 and fp8 are there
  // heuristic: kernels are chosen without timing them, but for what the timing cache knows; tune: the candidates that are likely to be best
  // are timed; exhaustive: all.
  std::string effort = "heuristic";
  std::string timing_cache;  // file of times (compiler/timing_cache.hpp), read and, if something was timed, written; may be missing
  std::function<void(const TuneReport&)> on_tune;  // gets the report if something could be tuned
  std::shared_ptr<TrialMachine> trial_machine;     // where candidates are timed; null: on the device of the build
  // Compares the engine with the reference once it is built (see compiler/check.hpp); one that is out of tolerance is an error.
  bool check = false;
  double check_tolerance = 0;                            // relative to an output's range; 0: what fits the precision
  std::function<void(const CheckReport&)> on_check;      // gets the report, good or bad
  int threads = 0;                                       // of the check's and the tuner's runs; 0: all cores
  std::string stop_after;  // phase: compile() then fails with kCancelled after `on_stop` was called
  std::function<void(const ir::Graph&, std::string_view phase)> on_stop;
  // Called between steps with the phase's name and the share of the build that is done, 0..1. False cancels the build.
  std::function<bool(std::string_view phase, double done)> progress;
};

// Same graph and options, same bytes. Errors name the node.
Result<std::vector<std::byte>> compile(std::unique_ptr<ir::Graph> graph, const BuildOptions& options);

// The same with what a check needs: by buffer of plan 0 the value of `graph` that it equals, or "".
struct Compiled {
  std::vector<std::byte> bytes;
  std::vector<std::string> sources;
};
Result<Compiled> compile_traced(std::unique_ptr<ir::Graph> graph, const BuildOptions& options);

}  // namespace carnot::compiler
