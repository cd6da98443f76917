// SPDX-License-Identifier: Apache-2.0
// ModelInfer and ModelStreamInfer on completion queues: a call is handled on the thread that received it, without a
// hand-off.
#pragma once
#include <grpcpp/grpcpp.h>

#include "core/core.hpp"
#include "kserve.grpc.pb.h"

namespace carnot::serve {

using AsyncPart = inference::GRPCInferenceService::WithAsyncMethod_ModelInfer<
    inference::GRPCInferenceService::WithAsyncMethod_ModelStreamInfer<inference::GRPCInferenceService::Service>>;

grpc::Status grpc_status(const Fault& fault);
// The value of that metadata, "" if there is none.
std::string_view metadata_of(const grpc::ServerContext& context, const char* key);

// Asks for the first calls of a queue; each call that arrives asks for the next.
void await_calls(Core& core, AsyncPart& service, grpc::ServerCompletionQueue& queue);
// Serves the queue until it is shut down and empty.
void serve_calls(grpc::ServerCompletionQueue& queue);

}  // namespace carnot::serve
