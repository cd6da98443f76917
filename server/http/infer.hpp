// SPDX-License-Identifier: Apache-2.0
// POST .../infer: the request's JSON and binary tensors become a Job, its answer becomes JSON and binary tensors.
#pragma once
#include "core/core.hpp"
#include "http/message.hpp"

namespace carnot::serve {

void infer_over_http(Core& core, const std::string& model, int64_t version, HttpRequest request,
                     std::shared_ptr<Responder> responder);

// {"error": text} with the status of the fault.
HttpReply error_reply(const Fault& fault);

}  // namespace carnot::serve
