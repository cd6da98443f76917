// SPDX-License-Identifier: Apache-2.0
// Between the protocol's messages and jobs. No gRPC here: this compiles in a second.
#pragma once
#include <deque>

#include "core/core.hpp"

namespace carnot::serve {

// A job that reads its tensors out of the message it owns.
class MessageJob : public Job {
 public:
  std::unique_ptr<inference::ModelInferRequest> message;
  std::deque<std::vector<std::byte>> converted;  // typed contents whose elements are wider than the tensor's
  std::vector<std::shared_ptr<const void>> regions;
};

// Fills job.request from job.message.
MaybeFault read_message(const Core& core, MessageJob& job);
void write_message(const Job& job, const InferReply& reply, inference::ModelInferResponse* out);

}  // namespace carnot::serve
