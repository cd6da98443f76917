// SPDX-License-Identifier: Apache-2.0
// The gRPC side: inference.GRPCInferenceService, grpc.health.v1 (Check and Watch) and reflection.
#pragma once
#include <chrono>
#include <memory>

#include "core/core.hpp"
#include "http/tls.hpp"

namespace carnot::serve {

class GrpcServer {
 public:
  // Listens at once (throws std::system_error if it cannot); port 0: any. `core` must live until halt().
  // `tls`: null for plain TCP.
  GrpcServer(Core& core, const std::string& address, int port, const std::shared_ptr<TlsFiles>& tls);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;
  int port() const;
  // No new connections and calls; returns when those that run are answered, or at `until`, when they are cancelled.
  void drain(std::chrono::system_clock::time_point until);
  // Ends the threads. No job of this side may be under way any more.
  void halt();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace carnot::serve
