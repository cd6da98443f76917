// SPDX-License-Identifier: Apache-2.0
// The ways to cut a matrix product or convolution that are worth timing, as configs of the tactics: parameters of the command.
#pragma once
#include "tactics/tactic.hpp"

namespace carnot::tactics {

// A product of `rows` x `depth` with `depth` x `columns`, any of which may be 0 if it is not known. The kernel's own choice is first.
struct ProductSize {
  int64_t rows = 0, columns = 0, depth = 0;
};
std::vector<Config> blocking_configs(const ProductSize& size, Effort effort);

// The product of the shape's dims from `begin` to `end` at the problem's sizes, 0 if it is not known.
int64_t extent_at(const Problem& problem, const Shape& shape, size_t begin, size_t end);

// The config in a command's parameters.
void add_config(Attrs& params, const Config& config);

}  // namespace carnot::tactics
