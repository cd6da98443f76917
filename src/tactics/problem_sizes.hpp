// SPDX-License-Identifier: Apache-2.0
// A problem at concrete sizes: what its operands' dims are, what it is called, how much work it is.
#pragma once
#include <optional>
#include <string>

#include "tactics/tactic.hpp"

namespace carnot::tactics {

// None if a dim depends on a symbol without a number (one that only a run binds).
std::optional<Dims> dims_at(const Shape& shape, const Sizes& sizes);

// Everything that decides how fast implementations of the problem are, in one line that depends on no names of the model: operator with
// attributes, the body of a group, dtypes and dims at these sizes, which operands are constant, small integer constants by value. None
// if dims_at() is none for an operand or result.
std::optional<std::string> problem_key(const Problem& problem, const Sizes& sizes);

// Multiply-adds and elements moved, roughly: to share out progress and to keep slow references out of reach. At least 1.
double work_of(const ir::Node& node, const Sizes& sizes);

}  // namespace carnot::tactics
