// SPDX-License-Identifier: Apache-2.0
#include "grpc/service.hpp"

namespace carnot::serve {
namespace {

using grpc::ServerContext;
using grpc::Status;

Fault no_cuda() { return fault(Kind::kUnsupported, "this build has no CUDA shared memory: use system shared memory"); }
Fault no_control() {
  return fault(Kind::kUnavailable,
               "explicit model load / unload is not allowed: start the server with --model-control explicit");
}

// Moves a value to the response.
template <typename Message>
MaybeFault give(Or<Message> from, Message* to) {
  if (!from) return from.fault();
  *to = std::move(*from);
  return std::nullopt;
}

Or<LoadOverride> override_of(const inference::RepositoryModelLoadRequest& request) {
  LoadOverride what;
  for (const auto& [name, value] : request.parameters()) {
    if (name == "config" && value.has_string_param())
      what.config = value.string_param();
    else if (name.starts_with("file:") && value.has_bytes_param())
      what.files[name.substr(5)] = value.bytes_param();
    else
      return invalid("load parameter '{}': there are 'config' (string) and 'file:VERSION/FILE' (bytes)", name);
  }
  return what;
}

// A call is its name, who may make it, and what it does to the response or why not.
#define CARNOT_UNARY(name, access)                                                                                   \
  Status name(ServerContext* context, const inference::name##Request* in, inference::name##Response* out) override { \
    return answer(*context, access, [&] { return name##_(*in, out); });                                              \
  }                                                                                                                  \
  MaybeFault name##_([[maybe_unused]] const inference::name##Request& in,                                            \
                     [[maybe_unused]] inference::name##Response* out)

class Service final : public AsyncPart {
 public:
  explicit Service(Core& core) : core_(core) {}

  CARNOT_UNARY(ServerLive, Access::kProbe) {
    out->set_live(true);
    return std::nullopt;
  }
  CARNOT_UNARY(ServerReady, Access::kProbe) {
    out->set_ready(core_.ready());
    return std::nullopt;
  }
  CARNOT_UNARY(ModelReady, Access::kProbe) {
    auto version = parse_version(in.name(), in.version());
    if (!version) return version.fault();
    out->set_ready(static_cast<bool>(core_.repository.find(in.name(), *version)));
    return std::nullopt;
  }
  CARNOT_UNARY(ServerMetadata, Access::kUse) {
    *out = server_metadata();
    return std::nullopt;
  }
  CARNOT_UNARY(ModelMetadata, Access::kUse) {
    auto version = parse_version(in.name(), in.version());
    return version ? give(model_metadata(core_, in.name(), *version), out) : version.fault();
  }
  CARNOT_UNARY(ModelConfig, Access::kUse) {
    auto version = parse_version(in.name(), in.version());
    if (!version) return version.fault();
    auto model = core_.repository.find(in.name(), *version);
    if (!model) return model.fault();
    *out->mutable_config() = (*model)->config;
    return std::nullopt;
  }
  CARNOT_UNARY(ModelStatistics, Access::kUse) {
    auto version = parse_version(in.name(), in.version());
    return version ? give(statistics(core_, in.name(), *version), out) : version.fault();
  }

  CARNOT_UNARY(RepositoryIndex, Access::kUse) {
    if (!in.repository_name().empty())
      return fault(Kind::kUnsupported, "'repository_name' specification is not supported");
    for (const IndexEntry& entry : core_.repository.index(in.ready())) {
      auto* model = out->add_models();
      model->set_name(entry.name);
      model->set_version(entry.version);
      model->set_state(entry.state);
      model->set_reason(entry.reason);
    }
    return std::nullopt;
  }
  CARNOT_UNARY(RepositoryModelLoad, Access::kControl) {
    if (!core_.repository.may_control()) return no_control();
    if (!in.repository_name().empty())
      return fault(Kind::kUnsupported, "'repository_name' specification is not supported");
    auto what = override_of(in);
    return what ? core_.repository.load(in.model_name(), *what) : what.fault();
  }
  CARNOT_UNARY(RepositoryModelUnload, Access::kControl) {
    if (!core_.repository.may_control()) return no_control();
    const auto dependents = in.parameters().find("unload_dependents");
    core_.repository.unload(in.model_name(),
                            dependents != in.parameters().end() && dependents->second.bool_param());
    return std::nullopt;
  }

  CARNOT_UNARY(SystemSharedMemoryStatus, Access::kUse) {
    auto regions = core_.shared_memory.status(in.name());
    if (!regions) return regions.fault();
    for (const auto& region : *regions) {
      auto& r = (*out->mutable_regions())[region.name];
      r.set_name(region.name);
      r.set_key(region.key);
      r.set_offset(region.offset);
      r.set_byte_size(region.bytes);
    }
    return std::nullopt;
  }
  CARNOT_UNARY(SystemSharedMemoryRegister, Access::kControl) {
    return core_.shared_memory.add({in.name(), in.key(), in.offset(), in.byte_size()});
  }
  CARNOT_UNARY(SystemSharedMemoryUnregister, Access::kControl) { return core_.shared_memory.remove(in.name()); }
  CARNOT_UNARY(CudaSharedMemoryStatus, Access::kUse) {
    if (in.name().empty()) return std::nullopt;
    return fault(Kind::kNotFound, "Unable to find cuda shared memory region: '{}'", in.name());
  }
  CARNOT_UNARY(CudaSharedMemoryRegister, Access::kControl) { return no_cuda(); }
  CARNOT_UNARY(CudaSharedMemoryUnregister, Access::kControl) { return std::nullopt; }

  CARNOT_UNARY(TraceSetting, in->settings().empty() ? Access::kUse : Access::kControl) {
    if (!in.model_name().empty())
      if (auto model = core_.repository.find(in.model_name(), -1); !model) return model.fault();
    return give(core_.observer.settings.change(in), out);
  }
  CARNOT_UNARY(LogSettings, in->settings().empty() ? Access::kUse : Access::kControl) {
    if (auto refused = change_log_settings(in)) return refused;
    *out = log_settings();
    return std::nullopt;
  }

 private:
  template <typename Fn>
  Status answer(const ServerContext& context, Access access, const Fn& fn) {
    auto refused = core_.auth.check(access, metadata_of(context, "authorization"));
    if (!refused) refused = fn();
    return refused ? grpc_status(*refused) : Status::OK;
  }

  Core& core_;
};
#undef CARNOT_UNARY

}  // namespace

std::unique_ptr<AsyncPart> make_service(Core& core) { return std::make_unique<Service>(core); }

}  // namespace carnot::serve
