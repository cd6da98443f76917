// SPDX-License-Identifier: Apache-2.0
// Small helpers for texts in messages.
#pragma once
#include <cstddef>
#include <string_view>

namespace carnot {

// The least number of characters to insert, delete or replace that turns a into b (Levenshtein): for "did you mean".
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace carnot
