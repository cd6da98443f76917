// SPDX-License-Identifier: Apache-2.0
// How requests go out and answers come in. A slot is one request at a time: a connection over HTTP, a call over gRPC.
// A transport belongs to one thread.
#pragma once
#include <memory>
#include <optional>

#include "core/request.hpp"
#include "load/data.hpp"
#include "load/http_connection.hpp"

namespace carnot::serve::load {

// Where a sample's tensors lie in shared memory; nullptr: they go with the request.
struct Regions {
  std::string input;                               // name of the region with all samples
  std::vector<std::vector<size_t>> input_offsets;  // by sample, by input
  std::string output_prefix;                       // + slot
  std::vector<size_t> output_offsets;              // by output, in the slot's region
};

struct Place {
  std::string id;  // of a sequence; "" = none
  bool first = false, last = false;
};

struct Moments {
  Clock::time_point start, sent, answered, end;  // answered: its first byte
};

struct Outcome {
  size_t slot = 0;
  Moments moments;
  std::string error;  // "" = a good answer
};

struct TransportOptions {
  const LoadOptions* load = nullptr;
  Address address;
  const Data* data = nullptr;
  const Regions* regions = nullptr;
  size_t first_slot = 0;  // of this transport among all, for regions
  size_t slots = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // The slot must be idle. A failure comes out of wait().
  virtual void send(size_t slot, size_t sample, const Place& place) = 0;
  // Until something has come in or the time has come. Appends to *out.
  virtual void wait(Clock::time_point until, std::vector<Outcome>* out) = 0;
};

Or<std::unique_ptr<Transport>> http_transport(const TransportOptions& options);
Or<std::unique_ptr<Transport>> grpc_transport(const TransportOptions& options);

}  // namespace carnot::serve::load
