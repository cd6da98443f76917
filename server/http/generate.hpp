// SPDX-License-Identifier: Apache-2.0
// POST .../generate and .../generate_stream: an input is a JSON key with a value or a list, an output likewise. For
// calls by hand and by clients that know no tensors.
#pragma once
#include "core/core.hpp"
#include "http/message.hpp"

namespace carnot::serve {

// `stream`: the answer comes as one server-sent event.
void generate_over_http(Core& core, const std::string& model, int64_t version, bool stream, HttpRequest request,
                        std::shared_ptr<Responder> responder);

}  // namespace carnot::serve
