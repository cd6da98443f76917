// SPDX-License-Identifier: Apache-2.0
// Buffers that share memory, so that less of it is alive at once and less is copied.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/plan.hpp"

namespace carnot::compiler {

// What the plan itself does not tell.
struct SharingHints {
  std::vector<uint32_t> in_place;  // by command: bit i set = output 0 may lie on operand i (tactics::Candidate::in_place)
  std::vector<bool> sized;         // by buffer: its size is known before the plan runs
};

// Results take the place of operands that die with their command and have the same size, where the command's kernel allows it.
void share_in_place(engine::Plan& plan, const SharingHints& hints);

}  // namespace carnot::compiler
