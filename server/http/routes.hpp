// SPDX-License-Identifier: Apache-2.0
// What the paths of the HTTP side mean: KServe v2 with Triton's extensions.
#pragma once
#include "core/core.hpp"
#include "core/lane.hpp"
#include "http/message.hpp"

namespace carnot::serve {

// Answers on the calling thread, but for loads (on `lane`) and inference (where the scheduler says).
void handle_http(Core& core, Lane& lane, HttpRequest request, std::shared_ptr<Responder> responder);

// The metrics port: /metrics and health, and nothing that costs or changes anything.
void handle_probe(Core& core, const HttpRequest& request, Responder& responder);

}  // namespace carnot::serve
