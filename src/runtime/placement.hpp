// SPDX-License-Identifier: Apache-2.0
// Where buffers lie in the arena. Greedy by size (arXiv 2001.03288): the largest buffer first, each at the lowest offset that is free
// during its whole life. On real networks this meets the lower bound, the most bytes alive at one moment.
#pragma once
#include <cstdint>
#include <vector>

namespace carnot::runtime {

struct Lifetime {
  uint64_t bytes = 0;
  int32_t first = 0;  // command that writes it
  int32_t last = 0;   // last command that reads it (inclusive)
  uint64_t offset = 0;  // result, a multiple of 64
};

// Fills in offsets; returns the size of the arena.
uint64_t place(std::vector<Lifetime>& buffers);
// The most bytes alive during any command: no placement can be smaller.
uint64_t lower_bound(const std::vector<Lifetime>& buffers);

}  // namespace carnot::runtime
