// SPDX-License-Identifier: Apache-2.0
// Everything of inference.GRPCInferenceService but inference: rare calls, on gRPC's own threads.
#pragma once
#include "grpc/calls.hpp"

namespace carnot::serve {

std::unique_ptr<AsyncPart> make_service(Core& core);

}  // namespace carnot::serve
