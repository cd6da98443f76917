// SPDX-License-Identifier: Apache-2.0
// Trial runs at build time: which sizes stand for the dynamic dims, and what goes into the inputs.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "compiler/compile.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::compiler {

// What the trial is for: a check runs the slow reference, timing wants the sizes of real use.
enum class Trial { kCheck, kTiming };

// A number for every symbol of the inputs' shapes: `opt` of the range that `shapes` gives, else a guess by the dim's name and place:
// batch 1 (check: 2), heights and widths 224 (64), all other dims 128 (16).
tactics::Sizes trial_sizes(const ir::Graph& graph, const std::map<std::string, ShapeRange>& shapes, Trial trial);

// Inputs of these sizes, the same for the same seed: floats in [-1, 1); integers that select rows of a constant table, any of its rows;
// other integers and bools 0 or 1.
Result<std::vector<Constant>> trial_inputs(const ir::Graph& graph, const tactics::Sizes& sizes, uint32_t seed = 7);

}  // namespace carnot::compiler
