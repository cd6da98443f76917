// SPDX-License-Identifier: Apache-2.0
// Buffers that share memory, so that less of it is alive at once and less is copied.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/plan.hpp"

namespace carnot::compiler {

// What the plan itself does not tell.
struct SharingHints {
  std::vector<uint32_t> in_place;  // by command: bit i set = output 0 may lie on operand i (tactics::Candidate::in_place)
  std::function<bool(const Shape& shape)> sized;  // the size is known before the plan runs
  // Whether the command's kernel takes an operand, or gives a result, whose rows lie apart (device::Kernel::takes_pitch).
  std::function<bool(size_t command, bool result, size_t operand)> takes_pitch;
  // The elements of a constant of integers; none for anything else.
  std::function<std::optional<std::vector<int64_t>>(int32_t buffer)> constant;
};

// Parts of a concatenation are written straight to their place in it, and parts of a split, and slices, are read where they lie: as they are where a
// part is one run of bytes, as rows that lie apart (Buffer::pitch) where the last axis is joined and the kernels on both sides can. Commands
// that have nothing left to copy go, with their hints. Buffers change their order (a buffer may only lie inside an earlier one): the result
// tells where each of them is now.
std::vector<int32_t> share_parts(engine::Plan& plan, SharingHints& hints);

// Results take the place of operands that die with their command and have the same size, where the command's kernel allows it.
void share_in_place(engine::Plan& plan, const SharingHints& hints);

}  // namespace carnot::compiler
