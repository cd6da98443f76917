// SPDX-License-Identifier: Apache-2.0
#include "fake_host.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace fake {
namespace {

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "the backend broke the server's contract: %s\n", what);
  std::abort();
}

struct Response {
  Request* request;
  struct Slot {
    Request* request;
    Output output;
  };
  std::deque<Slot> slots;
};

// Handles are the structs above under the names of the interface.
template <typename T, typename Handle>
T& as(Handle* handle) {
  if (!handle) broken("a null handle");
  return *reinterpret_cast<T*>(handle);
}

TRITONSERVER_Error* error(TRITONSERVER_Error_Code code, const std::string& text) {
  return TRITONSERVER_ErrorNew(code, text.c_str());
}

ErrorPtr taken(TRITONSERVER_Error* e) {
  if (!e) return nullptr;
  auto copy = std::make_unique<Error>(as<Error>(e));
  TRITONSERVER_ErrorDelete(e);
  return copy;
}

struct BackendHandle {
} backend_handle;
Message backend_config;

}  // namespace

Server& server() {
  static Server instance;
  return instance;
}

const Output& Answer::output(const std::string& name) const {
  for (const Output& o : outputs)
    if (o.name == name) return o;
  std::fprintf(stderr, "there is no output '%s'\n", name.c_str());
  std::abort();
}

Backend::Backend(const std::string& path) : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_) return;
  std::fprintf(stderr, "%s\n", dlerror());
  std::abort();
}

template <typename Fn>
Fn* Backend::get(const char* name) {
  void* symbol = dlsym(library_, name);
  if (!symbol) broken(name);
  return reinterpret_cast<Fn*>(symbol);
}

template <typename Handle>
using Call = TRITONSERVER_Error*(Handle*);

ErrorPtr Backend::initialize() {
  return taken(get<Call<TRITONBACKEND_Backend>>("TRITONBACKEND_Initialize")(
      reinterpret_cast<TRITONBACKEND_Backend*>(&backend_handle)));
}
ErrorPtr Backend::finalize() {
  return taken(get<Call<TRITONBACKEND_Backend>>("TRITONBACKEND_Finalize")(
      reinterpret_cast<TRITONBACKEND_Backend*>(&backend_handle)));
}
ErrorPtr Backend::attributes() {
  using Fn = TRITONSERVER_Error*(TRITONBACKEND_Backend*, TRITONBACKEND_BackendAttribute*);
  auto* handle = reinterpret_cast<TRITONBACKEND_Backend*>(&backend_handle);
  return taken(
      get<Fn>("TRITONBACKEND_GetBackendAttribute")(handle, reinterpret_cast<TRITONBACKEND_BackendAttribute*>(handle)));
}
ErrorPtr Backend::load(Model& model) {
  return taken(
      get<Call<TRITONBACKEND_Model>>("TRITONBACKEND_ModelInitialize")(reinterpret_cast<TRITONBACKEND_Model*>(&model)));
}
ErrorPtr Backend::unload(Model& model) {
  return taken(
      get<Call<TRITONBACKEND_Model>>("TRITONBACKEND_ModelFinalize")(reinterpret_cast<TRITONBACKEND_Model*>(&model)));
}
ErrorPtr Backend::start(Instance& instance) {
  return taken(get<Call<TRITONBACKEND_ModelInstance>>("TRITONBACKEND_ModelInstanceInitialize")(
      reinterpret_cast<TRITONBACKEND_ModelInstance*>(&instance)));
}
ErrorPtr Backend::stop(Instance& instance) {
  return taken(get<Call<TRITONBACKEND_ModelInstance>>("TRITONBACKEND_ModelInstanceFinalize")(
      reinterpret_cast<TRITONBACKEND_ModelInstance*>(&instance)));
}
ErrorPtr Backend::execute(Instance& instance, const std::vector<Request*>& requests) {
  using Fn = TRITONSERVER_Error*(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request**, const uint32_t);
  std::vector<TRITONBACKEND_Request*> handles;
  for (Request* r : requests) handles.push_back(reinterpret_cast<TRITONBACKEND_Request*>(r));
  return taken(get<Fn>("TRITONBACKEND_ModelInstanceExecute")(reinterpret_cast<TRITONBACKEND_ModelInstance*>(&instance),
                                                             handles.data(), static_cast<uint32_t>(handles.size())));
}

}  // namespace fake

using namespace fake;  // NOLINT: what follows is the interface in C

extern "C" {

TRITONSERVER_Error* TRITONSERVER_ErrorNew(TRITONSERVER_Error_Code code, const char* text) {
  ++server().live_errors;
  return reinterpret_cast<TRITONSERVER_Error*>(new Error{code, text});
}
void TRITONSERVER_ErrorDelete(TRITONSERVER_Error* e) {
  --server().live_errors;
  delete &as<Error>(e);
}
TRITONSERVER_Error_Code TRITONSERVER_ErrorCode(TRITONSERVER_Error* e) { return as<Error>(e).code; }
const char* TRITONSERVER_ErrorMessage(TRITONSERVER_Error* e) { return as<Error>(e).text.c_str(); }

TRITONSERVER_Error* TRITONSERVER_MessageNewFromSerializedJson(TRITONSERVER_Message** message, const char* base,
                                                              size_t bytes) {
  ++server().live_messages;
  *message = reinterpret_cast<TRITONSERVER_Message*>(new Message{{base, bytes}});
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MessageDelete(TRITONSERVER_Message* message) {
  if (&as<Message>(message) == &backend_config) broken("it deleted the server's own message");
  --server().live_messages;
  delete &as<Message>(message);
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message* message, const char** base,
                                                        size_t* bytes) {
  *base = as<Message>(message).text.data();
  *bytes = as<Message>(message).text.size();
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_LogMessage(TRITONSERVER_LogLevel, const char*, const int, const char* text) {
  server().log.push_back(text);
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor) {
  *major = server().api_major;
  *minor = server().api_minor;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_BackendConfig(TRITONBACKEND_Backend*, TRITONSERVER_Message** config) {
  backend_config.text = server().backend_config;
  *config = reinterpret_cast<TRITONSERVER_Message*>(&backend_config);
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(TRITONBACKEND_BackendAttribute*,
                                                                                  bool enabled) {
  server().parallel_loading = enabled;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ModelName(TRITONBACKEND_Model* model, const char** name) {
  *name = as<Model>(model).name.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelVersion(TRITONBACKEND_Model* model, uint64_t* version) {
  *version = as<Model>(model).version;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelRepository(TRITONBACKEND_Model* model, TRITONBACKEND_ArtifactType* type,
                                                  const char** location) {
  *type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
  *location = as<Model>(model).folder.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelConfig(TRITONBACKEND_Model* model, const uint32_t version,
                                              TRITONSERVER_Message** config) {
  if (version != 1) return error(TRITONSERVER_ERROR_UNSUPPORTED, "configurations have version 1");
  const std::string& text = as<Model>(model).config;
  return TRITONSERVER_MessageNewFromSerializedJson(config, text.data(), text.size());
}
TRITONSERVER_Error* TRITONBACKEND_ModelAutoCompleteConfig(TRITONBACKEND_Model* model, bool* auto_complete) {
  *auto_complete = as<Model>(model).auto_complete;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelSetConfig(TRITONBACKEND_Model* model, const uint32_t version,
                                                 TRITONSERVER_Message* config) {
  if (version != 1) return error(TRITONSERVER_ERROR_UNSUPPORTED, "configurations have version 1");
  as<Model>(model).config = as<Message>(config).text;
  as<Model>(model).config_was_set = true;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelBackend(TRITONBACKEND_Model*, TRITONBACKEND_Backend** backend) {
  *backend = reinterpret_cast<TRITONBACKEND_Backend*>(&backend_handle);
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelState(TRITONBACKEND_Model* model, void** state) {
  *state = as<Model>(model).state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelSetState(TRITONBACKEND_Model* model, void* state) {
  as<Model>(model).state = state;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceKind(TRITONBACKEND_ModelInstance* instance,
                                                    TRITONSERVER_InstanceGroupKind* kind) {
  *kind = as<Instance>(instance).kind;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceDeviceId(TRITONBACKEND_ModelInstance* instance, int32_t* device) {
  *device = as<Instance>(instance).device;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance* instance,
                                                     TRITONBACKEND_Model** model) {
  *model = reinterpret_cast<TRITONBACKEND_Model*>(as<Instance>(instance).model);
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance* instance, void** state) {
  *state = as<Instance>(instance).state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance* instance, void* state) {
  as<Instance>(instance).state = state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance*,
                                                                TRITONBACKEND_Request* request, const bool success,
                                                                const uint64_t a, const uint64_t b, const uint64_t c,
                                                                const uint64_t d) {
  Answer& answer = as<Request>(request).answer;
  if (answer.released) broken("statistics of a request that was released");
  ++(success ? answer.counted_success : answer.counted_failure);
  answer.ordered_times = answer.ordered_times && 0 < a && a <= b && b <= c && c <= d;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance* instance,
                                                                     const uint64_t batch, const uint64_t a,
                                                                     const uint64_t b, const uint64_t c,
                                                                     const uint64_t d) {
  if (!(0 < a && a <= b && b <= c && c <= d)) broken("times of a batch out of order");
  as<Instance>(instance).batches.push_back(batch);
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_RequestIsCancelled(TRITONBACKEND_Request* request, bool* cancelled) {
  *cancelled = as<Request>(request).cancelled;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestInput(TRITONBACKEND_Request* request, const char* name,
                                               TRITONBACKEND_Input** input) {
  if (as<Request>(request).answer.released) broken("an input of a request that was released");
  for (Input& i : as<Request>(request).inputs)
    if (i.name == name) {
      *input = reinterpret_cast<TRITONBACKEND_Input*>(&i);
      return nullptr;
    }
  return error(TRITONSERVER_ERROR_INVALID_ARG, std::string("unknown input ") + name);
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request* request, uint32_t* count) {
  *count = static_cast<uint32_t>(as<Request>(request).outputs.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request* request, const uint32_t index,
                                                    const char** name) {
  *name = as<Request>(request).outputs.at(index).c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestRelease(TRITONBACKEND_Request* request, uint32_t flags) {
  Answer& answer = as<Request>(request).answer;
  if (answer.released || flags != TRITONSERVER_REQUEST_RELEASE_ALL) broken("a request was released twice, or in part");
  answer.released = true;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input* input, const char** name,
                                                  TRITONSERVER_DataType* type, const int64_t** shape, uint32_t* rank,
                                                  uint64_t* bytes, uint32_t* buffers) {
  const Input& i = as<Input>(input);
  if (name) *name = i.name.c_str();
  if (type) *type = i.type;
  if (shape) *shape = i.shape.data();
  if (rank) *rank = static_cast<uint32_t>(i.shape.size());
  if (bytes) *bytes = i.bytes();
  if (buffers) *buffers = static_cast<uint32_t>(i.buffers.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_InputBuffer(TRITONBACKEND_Input* input, const uint32_t index, const void** buffer,
                                              uint64_t* bytes, TRITONSERVER_MemoryType* type, int64_t* id) {
  const Buffer& b = as<Input>(input).buffers.at(index);
  *buffer = b.bytes.data() + b.offset;
  *bytes = b.bytes.size() - b.offset;
  *type = b.type;
  *id = 0;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ResponseNew(TRITONBACKEND_Response** response, TRITONBACKEND_Request* request) {
  if (as<Request>(request).answer.released) broken("a response to a request that was released");
  ++server().live_responses;
  *response = reinterpret_cast<TRITONBACKEND_Response*>(new Response{&as<Request>(request), {}});
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response* response, TRITONBACKEND_Output** output,
                                                 const char* name, const TRITONSERVER_DataType type,
                                                 const int64_t* shape, const uint32_t rank) {
  auto& r = as<Response>(response);
  r.slots.push_back({r.request, {name, type, {shape, shape + rank}, {}}});
  *output = reinterpret_cast<TRITONBACKEND_Output*>(&r.slots.back());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output* output, void** buffer, const uint64_t bytes,
                                               TRITONSERVER_MemoryType* type, int64_t* id) {
  auto& slot = as<Response::Slot>(output);
  if (slot.request->no_output_memory) return error(TRITONSERVER_ERROR_UNAVAILABLE, "no memory for the output");
  slot.output.data.resize(bytes);
  *buffer = slot.output.data.data();
  *type = slot.request->output_memory;
  *id = 0;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseSend(TRITONBACKEND_Response* response, const uint32_t flags,
                                               TRITONSERVER_Error* e) {
  std::unique_ptr<Response> r(&as<Response>(response));
  --server().live_responses;
  Answer& answer = r->request->answer;
  if (answer.released || ++answer.responses != 1 || flags != TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    broken("a second response, or one that is not final");
  if (e)
    answer.error = std::make_unique<Error>(as<Error>(e));
  else
    for (auto& slot : r->slots) answer.outputs.push_back(std::move(slot.output));
  return nullptr;
}

}  // extern "C"
