// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/json_util.h>

#include "core/proto_json.hpp"
#include "load/control.hpp"

namespace carnot::serve::load {
namespace {

std::string escaped(const std::string& segment) {
  std::string out;
  for (char c : segment) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

class HttpControl final : public Control {
 public:
  HttpControl(const LoadOptions& options, const Address& address)
      : path_(model_path(options)), headers_(header_lines(options)), connection_(address) {}

  Or<inference::ServerMetadataResponse> server() override { return get<inference::ServerMetadataResponse>("/v2"); }
  Or<inference::ModelMetadataResponse> metadata() override { return get<inference::ModelMetadataResponse>(path_); }
  Or<inference::ModelConfig> config() override { return get<inference::ModelConfig>(path_ + "/config"); }
  Or<inference::ModelStatisticsResponse> statistics(const std::string& model) override {
    return get<inference::ModelStatisticsResponse>(model.empty() ? "/v2/models/stats"
                                                                 : "/v2/models/" + escaped(model) + "/stats");
  }
  MaybeFault add_region(const std::string& name, const std::string& key, size_t bytes) override {
    std::string body = "{\"key\":";
    append_json_string(key, &body);
    body += fmt::format(",\"offset\":0,\"byte_size\":{}}}", bytes);
    auto answer =
        connection_.call("POST", "/v2/systemsharedmemory/region/" + escaped(name) + "/register", body, headers_);
    if (!answer) return answer.fault();
    return std::nullopt;
  }
  void remove_region(const std::string& name) override {
    (void)connection_.call("POST", "/v2/systemsharedmemory/region/" + escaped(name) + "/unregister", "", headers_);
  }

 private:
  template <typename Message>
  Or<Message> get(const std::string& path) {
    auto text = connection_.call("GET", path, "", headers_);
    if (!text) return text.fault();
    Message message;
    // Servers of another version have fields that we do not know.
    google::protobuf::util::JsonParseOptions lenient;
    lenient.ignore_unknown_fields = true;
    const auto status = google::protobuf::util::JsonStringToMessage(*text, &message, lenient);
    if (!status.ok()) return invalid("the answer to GET {} is none that is known: {}", path, status.ToString());
    return message;
  }

  const std::string path_, headers_;
  HttpConnection connection_;
};

}  // namespace

std::unique_ptr<Control> http_control(const LoadOptions& options, const Address& address) {
  return std::make_unique<HttpControl>(options, address);
}

std::string header_lines(const LoadOptions& options) {
  std::string lines;
  for (const auto& [name, value] : options.headers) lines += name + ": " + value + "\r\n";
  return lines;
}

std::string model_path(const LoadOptions& options) {
  return "/v2/models/" + escaped(options.model) +
         (options.version.empty() ? "" : "/versions/" + escaped(options.version));
}

}  // namespace carnot::serve::load
