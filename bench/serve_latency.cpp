// SPDX-License-Identifier: Apache-2.0
// What the server adds to a run: the same tensor through a session, over HTTP (binary) and over gRPC, one call at a
// time.
//
// usage: serve_latency ENGINE HOST HTTP_PORT GRPC_PORT MODEL [CALLS]
// MODEL is served from ENGINE and takes one FP32 input, whose open dims become 1.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "carnot/carnot.hpp"
#include "kserve.grpc.pb.h"

namespace {

template <typename Fn>
double measure(const char* what, int calls, double base, const Fn& fn) {
  std::vector<double> us;
  for (int i = 0; i < calls + calls / 10; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    if (!fn()) {
      std::fprintf(stderr, "%s: a call failed\n", what);
      std::exit(1);
    }
    if (i >= calls / 10)
      us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(us.begin(), us.end());
  const double p50 = us[us.size() / 2];
  std::printf("%-8s p50 %8.1f us   p99 %8.1f us   added p50 %8.1f us\n", what, p50, us[us.size() * 99 / 100],
              p50 - base);
  return p50;
}

// One HTTP connection, as far as this program needs it.
class Http {
 public:
  Http(const char* host, int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, host, &to.sin_addr);
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) std::perror("connect");
  }
  ~Http() { close(fd_); }
  bool call(const std::string& request) {
    if (send(fd_, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size())) return false;
    size_t have = 0, need = 0;
    while (need == 0 || have < need) {
      if (buffer_.size() < have + 65536) buffer_.resize(have + 65536);
      const ssize_t n = recv(fd_, buffer_.data() + have, buffer_.size() - have, 0);
      if (n <= 0) return false;
      have += static_cast<size_t>(n);
      const size_t end = need ? 0 : std::string_view(buffer_.data(), have).find("\r\n\r\n");
      if (need || end == std::string_view::npos) continue;
      const size_t at = std::string_view(buffer_.data(), end).rfind("Content-Length: ");  // the last of two that end so
      need = end + 4 + std::strtoul(buffer_.data() + at + 16, nullptr, 10);
    }
    return std::string_view(buffer_.data(), 12) == "HTTP/1.1 200";
  }

 private:
  int fd_;
  std::string buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: serve_latency ENGINE HOST HTTP_PORT GRPC_PORT MODEL [CALLS]\n");
    return 2;
  }
  const std::string host = argv[2], model = argv[5];
  const int calls = argc > 6 ? std::atoi(argv[6]) : 20000;
  carnot::Engine engine = carnot::Engine::load(argv[1]);
  const carnot::IoInfo input = engine.inputs().at(0);
  const std::string output = engine.outputs().at(0).name;
  std::vector<int64_t> shape = input.dims;
  size_t count = 1;
  for (int64_t& d : shape) count *= static_cast<size_t>(d = d < 0 ? 1 : d);
  const std::vector<float> data(count, 0.5f);
  const std::string bytes(reinterpret_cast<const char*>(data.data()), count * sizeof(float));

  carnot::Session session(engine);
  const double base = measure("session", calls, 0, [&] {
    session.set_input(input.name, carnot::tensor(data.data(), shape));
    session.run();
    return session.output(output).raw() != nullptr;
  });

  std::string dims;
  for (int64_t d : shape) dims += (dims.empty() ? "" : ",") + std::to_string(d);
  const std::string json =
      "{\"inputs\":[{\"name\":\"" + input.name + "\",\"shape\":[" + dims +
      "],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":" + std::to_string(bytes.size()) +
      "}}],\"parameters\":{\"binary_data_output\":true}}";
  const std::string request =
      "POST /v2/models/" + model +
      "/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: " + std::to_string(json.size()) +
      "\r\nContent-Length: " + std::to_string(json.size() + bytes.size()) + "\r\n\r\n" + json + bytes;
  Http http(argv[2], std::atoi(argv[3]));
  measure("http", calls, base, [&] { return http.call(request); });

  auto stub = inference::GRPCInferenceService::NewStub(
      grpc::CreateChannel(host + ":" + argv[4], grpc::InsecureChannelCredentials()));
  inference::ModelInferRequest message;
  message.set_model_name(model);
  auto* tensor = message.add_inputs();
  tensor->set_name(input.name);
  tensor->set_datatype("FP32");
  for (int64_t d : shape) tensor->add_shape(d);
  message.add_raw_input_contents(bytes);
  measure("grpc", calls, base, [&] {
    grpc::ClientContext context;
    inference::ModelInferResponse response;
    return stub->ModelInfer(&context, message, &response).ok();
  });
  return 0;
}
