// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include <cctype>

#include "kserve.grpc.pb.h"
#include "load/control.hpp"

namespace carnot::serve::load {
namespace {

using Stub = inference::GRPCInferenceService::Stub;

class GrpcControl final : public Control {
 public:
  GrpcControl(const LoadOptions& options, const Address& address)
      : options_(options),
        stub_(inference::GRPCInferenceService::NewStub(
            grpc::CreateChannel(address.host + ":" + address.port, grpc::InsecureChannelCredentials()))) {}

  Or<inference::ServerMetadataResponse> server() override {
    return call<inference::ServerMetadataResponse>(&Stub::ServerMetadata, inference::ServerMetadataRequest());
  }
  Or<inference::ModelMetadataResponse> metadata() override {
    return call<inference::ModelMetadataResponse>(&Stub::ModelMetadata, named<inference::ModelMetadataRequest>());
  }
  Or<inference::ModelConfig> config() override {
    auto response = call<inference::ModelConfigResponse>(&Stub::ModelConfig, named<inference::ModelConfigRequest>());
    if (!response) return response.fault();
    return response->config();
  }
  Or<inference::ModelStatisticsResponse> statistics(const std::string& model) override {
    inference::ModelStatisticsRequest request;
    request.set_name(model);
    return call<inference::ModelStatisticsResponse>(&Stub::ModelStatistics, request);
  }
  MaybeFault add_region(const std::string& name, const std::string& key, size_t bytes) override {
    inference::SystemSharedMemoryRegisterRequest request;
    request.set_name(name);
    request.set_key(key);
    request.set_byte_size(bytes);
    auto done = call<inference::SystemSharedMemoryRegisterResponse>(&Stub::SystemSharedMemoryRegister, request);
    if (!done) return done.fault();
    return std::nullopt;
  }
  void remove_region(const std::string& name) override {
    inference::SystemSharedMemoryUnregisterRequest request;
    request.set_name(name);
    (void)call<inference::SystemSharedMemoryUnregisterResponse>(&Stub::SystemSharedMemoryUnregister, request);
  }

 private:
  template <typename Request>
  Request named() const {
    Request request;
    request.set_name(options_.model);
    request.set_version(options_.version);
    return request;
  }
  template <typename Response, typename Request>
  Or<Response> call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    for (auto [name, value] : options_.headers) {
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      context.AddMetadata(name, value);
    }
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok())
      return fault(status.error_code() == grpc::StatusCode::NOT_FOUND ? Kind::kNotFound : Kind::kInvalid, "{}",
                   status.error_message());
    return response;
  }

  const LoadOptions& options_;
  const std::unique_ptr<Stub> stub_;
};

}  // namespace

std::unique_ptr<Control> grpc_control(const LoadOptions& options, const Address& address) {
  return std::make_unique<GrpcControl>(options, address);
}

}  // namespace carnot::serve::load
