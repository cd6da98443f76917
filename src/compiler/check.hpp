// SPDX-License-Identifier: Apache-2.0
// Compares an engine with the meaning of its model: the whole engine against the source graph, run node by node by the reference, on
// the same inputs. What the engine still has of the model's inner values is compared too, so that a difference has an address.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::compiler {

// How far an engine's value lies from the reference's.
struct Difference {
  double max_abs = 0;   // largest absolute difference; integers and bools: likewise
  double relative = 0;  // that, relative to the range of the reference's value; integers and bools: share of elements that differ
  double cosine = 1;    // of both as vectors
  std::string problem;  // not empty: they cannot be compared, and why
};
// `channels_last`: `got` may also be `wanted` with the axis of channels moved to the end.
Difference compare_values(const TensorView& wanted, const TensorView& got, bool channels_last = false);

struct CheckedValue {
  std::string name;    // outputs: as users know it; layers: the value in the source model
  std::string where;   // the command's nodes in the source model; empty for outputs
  std::string kernel;  // empty for outputs
  Difference difference;
  double tolerance = 0;
  bool passed() const { return difference.problem.empty() && difference.relative <= tolerance; }
};

struct CheckReport {
  std::vector<CheckedValue> outputs;
  std::vector<CheckedValue> layers;  // in the order of execution
  std::string inputs;                // what was fed, for people: "x f32[2,3,64,64]"
  bool passed() const;
  // The layers that are furthest from the reference, worst first.
  std::vector<CheckedValue> worst(size_t count) const;
  // The first layer, in the order of execution, that is out of tolerance: where to look. Null if there is none.
  const CheckedValue* first_bad() const;
  std::string str(size_t layers = 5) const;
};

// What an output may differ relative to its range: 1e-4 in fp32, more in narrower types. Integers and bools: see kIntegerTolerance.
double check_tolerance(std::string_view precision);
// Rounding flips ties of arg_max and rounding to integers: this share of the elements may differ.
inline constexpr double kIntegerTolerance = 1e-3;

struct CheckOptions {
  double tolerance = 1e-4;
  tactics::Sizes sizes;  // for every symbol of the inputs
  int threads = 0;       // of the engine; 0: all cores
  uint32_t seed = 7;
  std::string device;    // which one runs an engine of a device, "cuda:1"; empty: the first
  std::function<bool(double done)> progress;  // false cancels
};
// `source`: the imported graph as it was before any pass. `sources`: by buffer of plan 0 the source value that it equals, or "".
// An engine that differs is no error: look at the report.
Result<CheckReport> check_engine(const ir::Graph& source, std::span<const std::byte> engine, std::span<const std::string> sources, const CheckOptions& options);

}  // namespace carnot::compiler
