// SPDX-License-Identifier: Apache-2.0
// What the scatter operators share.
#pragma once
#include <string_view>

#include "ops/operator.hpp"

namespace carnot::ops {

Status check_reduction(std::string_view reduction);
// to[at] = reduction(to[at], from[i])
void scatter_one(TensorView& to, int64_t at, const TensorView& from, int64_t i, std::string_view reduction);

}  // namespace carnot::ops
