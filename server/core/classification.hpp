// SPDX-License-Identifier: Apache-2.0
// The classification extension: an output as the k largest of its elements, "value:index[:label]" each, as BYTES.
#pragma once
#include <deque>

#include "core/runner.hpp"

namespace carnot::serve {

using Labelled = std::deque<std::vector<std::byte>>;  // what the reply then points to

// Replaces those outputs of the reply for which the request asks for it.
MaybeFault classify(const std::vector<IoSpec>& specs, bool batched, InferReply* reply, Labelled* memory);

}  // namespace carnot::serve
