// SPDX-License-Identifier: Apache-2.0
// Attributes as operators mean them, whichever way a model gives them or leaves them out.
#pragma once
#include <optional>
#include <vector>

#include "tactics/tactic.hpp"

namespace carnot::tactics {

// `values`, or n times `otherwise` where there are none: strides, dilations and pads of a window.
std::vector<int64_t> filled(const std::vector<int64_t>& values, size_t n, int64_t otherwise);

// The axes that a reduction folds, from 0 on and ascending: its attribute or its second operand, all where neither names one (unless
// noop_with_empty_axes). None if they are computed at run time or do not exist.
std::optional<std::vector<int64_t>> reduced_axes(const Problem& problem);

}  // namespace carnot::tactics
