// SPDX-License-Identifier: Apache-2.0
// Prometheus' text format under Triton's names, and a histogram of request latencies besides.
#pragma once
#include <string>

#include "core/core.hpp"

namespace carnot::serve {

std::string metrics_text(const Core& core);

}  // namespace carnot::serve
