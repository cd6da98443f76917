// SPDX-License-Identifier: Apache-2.0
// Requests are serialised once and sent as bytes; answers are not parsed beyond their status. So the client's own work
// is small beside the server's.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cctype>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <thread>

#include "kserve.pb.h"
#include "load/transport.hpp"

namespace carnot::serve::load {
namespace {

class GrpcTransport final : public Transport {
 public:
  explicit GrpcTransport(const TransportOptions& options) : options_(options), slots_(options.slots) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);  // a connection of its own for each thread
    channel_ = grpc::CreateCustomChannel(options.address.host + ":" + options.address.port,
                                         grpc::InsecureChannelCredentials(), arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
    for (auto [name, value] : options.load->headers) {
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      headers_.emplace_back(name, value);
    }
    collector_ = std::thread([this] { collect(); });
  }
  ~GrpcTransport() override {
    queue_.Shutdown();
    collector_.join();
  }
  bool connect() { return channel_->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)); }

  void send(size_t slot, size_t sample, const Place& place) override {
    Slot& s = slots_[slot];
    const auto start = Clock::now();
    if (!place.id.empty() || s.sample != sample) {
      compose(slot, sample, place);
      s.sample = place.id.empty() ? sample : SIZE_MAX;
    }
    s.moments = {start, start, {}, {}};
    s.context = std::make_unique<grpc::ClientContext>();
    for (const auto& [name, value] : headers_) s.context->AddMetadata(name, value);
    s.call = stub_->PrepareUnaryCall(s.context.get(), "/inference.GRPCInferenceService/ModelInfer", s.request, &queue_);
    s.call->StartCall();
    s.call->Finish(&s.response, &s.status, &s);
  }

  void wait(Clock::time_point until, std::vector<Outcome>* out) override {
    std::unique_lock lock(mutex_);
    const auto some = [this] { return !finished_.empty(); };
    if (until == Clock::time_point::max())
      wake_.wait(lock, some);
    else
      wake_.wait_until(lock, until, some);
    for (Outcome& o : finished_) out->push_back(std::move(o));
    finished_.clear();
  }

 private:
  struct Slot {
    grpc::ByteBuffer request, response;
    size_t sample = SIZE_MAX;
    Moments moments;
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
    grpc::Status status;
  };

  // gRPC's own waits have the grain of a millisecond, too coarse for requests that are due at a moment. So a thread
  // notes when answers come, and wait() waits for it or for the clock.
  void collect() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      Slot& s = *static_cast<Slot*>(tag);
      s.moments.answered = s.moments.end = Clock::now();
      Outcome outcome{static_cast<size_t>(&s - slots_.data()), s.moments, ""};
      if (!s.status.ok())
        outcome.error = fmt::format("gRPC status {}: {}", static_cast<int>(s.status.error_code()),
                                    s.status.error_message().substr(0, 200));
      s.response.Clear();
      {
        std::lock_guard lock(mutex_);
        finished_.push_back(std::move(outcome));
      }
      wake_.notify_one();
    }
  }

  void compose(size_t slot, size_t sample, const Place& place) {
    const LoadOptions& load = *options_.load;
    const Regions* regions = options_.regions;
    inference::ModelInferRequest message;
    message.set_model_name(load.model);
    message.set_model_version(load.version);
    if (!place.id.empty()) {
      auto& p = *message.mutable_parameters();
      p["sequence_id"].set_int64_param(std::stoll(place.id));
      p["sequence_start"].set_bool_param(place.first);
      p["sequence_end"].set_bool_param(place.last);
    }
    const auto in_region = [](auto* tensor, const std::string& name, size_t offset, size_t bytes) {
      auto& p = *tensor->mutable_parameters();
      p["shared_memory_region"].set_string_param(name);
      p["shared_memory_offset"].set_int64_param(static_cast<int64_t>(offset));
      p["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(bytes));
    };
    const Sample& tensors = options_.data->samples[sample];
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Tensor& t = tensors[i];
      auto* input = message.add_inputs();
      input->set_name(t.name);
      input->set_datatype(std::string(t.type->name));
      for (int64_t d : t.shape) input->add_shape(d);
      if (regions)
        in_region(input, regions->input, regions->input_offsets[sample][i], t.bytes.size());
      else
        message.add_raw_input_contents(t.bytes);
    }
    for (size_t o = 0; regions && o < options_.data->outputs.size(); ++o) {
      auto* output = message.add_outputs();
      output->set_name(options_.data->outputs[o].name);
      in_region(output, regions->output_prefix + std::to_string(options_.first_slot + slot), regions->output_offsets[o],
                options_.data->outputs[o].bytes);
    }
    const grpc::Slice slice(message.SerializeAsString());
    slots_[slot].request = grpc::ByteBuffer(&slice, 1);
  }

  const TransportOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::vector<Slot> slots_;
  grpc::CompletionQueue queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Outcome> finished_;
  std::thread collector_;
};

}  // namespace

Or<std::unique_ptr<Transport>> grpc_transport(const TransportOptions& options) {
  auto transport = std::make_unique<GrpcTransport>(options);
  if (!transport->connect())
    return fault(Kind::kUnavailable, "no gRPC server at {}:{}", options.address.host, options.address.port);
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace carnot::serve::load
