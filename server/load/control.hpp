// SPDX-License-Identifier: Apache-2.0
// What the load test asks of the server besides inference, by either protocol. One thread at a time.
#pragma once
#include <memory>

#include "carnot/load.hpp"
#include "core/fault.hpp"
#include "kserve.pb.h"
#include "load/http_connection.hpp"

namespace carnot::serve::load {

class Control {
 public:
  virtual ~Control() = default;
  virtual Or<inference::ServerMetadataResponse> server() = 0;
  virtual Or<inference::ModelMetadataResponse> metadata() = 0;
  virtual Or<inference::ModelConfig> config() = 0;
  // "" = all models.
  virtual Or<inference::ModelStatisticsResponse> statistics(const std::string& model) = 0;
  virtual MaybeFault add_region(const std::string& name, const std::string& key, size_t bytes) = 0;
  virtual void remove_region(const std::string& name) = 0;
};

std::unique_ptr<Control> http_control(const LoadOptions& options, const Address& address);
std::unique_ptr<Control> grpc_control(const LoadOptions& options, const Address& address);

// "Name: value\r\n" of each.
std::string header_lines(const LoadOptions& options);
// "/v2/models/m[/versions/v]"
std::string model_path(const LoadOptions& options);

}  // namespace carnot::serve::load
