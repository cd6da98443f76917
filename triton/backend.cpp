// SPDX-License-Identifier: Apache-2.0
// The functions that Triton calls in a backend. State of a model is its Model, that of an instance its Instance.
#include <new>

#include "instance.hpp"

#define CARNOT_ENTRY extern "C" __attribute__((visibility("default")))

namespace carnot::triton {
namespace {

void write_log(void*, int level, const char* channel, const char* message) {
  const auto to = level == 0 ? TRITONSERVER_LOG_ERROR : level == 1 ? TRITONSERVER_LOG_INFO : TRITONSERVER_LOG_VERBOSE;
  log(to, fmt::format("{}: {}", channel, message));
}

// Libraries below (JSON, the standard library) throw; Triton is C.
template <typename Fn>
TRITONSERVER_Error* guarded(Fn fn) noexcept {
  try {
    return to_error(fn());
  } catch (const std::bad_alloc&) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "no memory");
  } catch (const std::exception& e) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, e.what());
  }
}

MaybeFailure initialize() {
  uint32_t major = 0, minor = 0;
  CARNOT_CALL(TRITONBACKEND_ApiVersion(&major, &minor));
  if (major != TRITONBACKEND_API_VERSION_MAJOR || minor < TRITONBACKEND_API_VERSION_MINOR)
    return failure(
        TRITONSERVER_ERROR_UNSUPPORTED,
        "this server speaks version {}.{} of the backend API, libtriton_carnot.so needs {}.{} or a later {}.x", major,
        minor, TRITONBACKEND_API_VERSION_MAJOR, TRITONBACKEND_API_VERSION_MINOR, TRITONBACKEND_API_VERSION_MAJOR);
  carnot_set_log(write_log, nullptr);
  log(TRITONSERVER_LOG_INFO, fmt::format("Carnot {}", carnot_version()));
  return std::nullopt;
}

template <typename T, typename Handle>
MaybeFailure state_of(Handle* handle, TRITONSERVER_Error* (*get)(Handle*, void**), T** state) {
  void* pointer = nullptr;
  CARNOT_CALL(get(handle, &pointer));
  *state = static_cast<T*>(pointer);
  return std::nullopt;
}

// A failed ModelInitialize leaves no state, and deleting none is fine.
template <typename T, typename Handle>
MaybeFailure finalize(Handle* handle, TRITONSERVER_Error* (*get)(Handle*, void**)) {
  T* state = nullptr;
  if (auto refused = state_of(handle, get, &state)) return refused;
  delete state;
  return std::nullopt;
}

}  // namespace
}  // namespace carnot::triton

using namespace carnot::triton;  // NOLINT: the entry points below stand outside of any namespace

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) { return guarded(initialize); }

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_Finalize(TRITONBACKEND_Backend*) {
  carnot_set_log(nullptr, nullptr);
  return nullptr;
}

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend*,
                                                                   TRITONBACKEND_BackendAttribute* attributes) {
  return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* handle) {
  return guarded([&]() -> MaybeFailure {
    std::unique_ptr<Model> model;
    if (auto refused = Model::create(handle, &model)) return refused;
    CARNOT_CALL(TRITONBACKEND_ModelSetState(handle, model.get()));
    model.release();
    return std::nullopt;
  });
}

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* handle) {
  return guarded([&] { return finalize<Model>(handle, TRITONBACKEND_ModelState); });
}

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* handle) {
  return guarded([&]() -> MaybeFailure {
    TRITONBACKEND_Model* owner = nullptr;
    CARNOT_CALL(TRITONBACKEND_ModelInstanceModel(handle, &owner));
    Model* model = nullptr;
    if (auto refused = state_of(owner, TRITONBACKEND_ModelState, &model)) return refused;
    std::unique_ptr<Instance> instance;
    if (auto refused = Instance::create(handle, *model, &instance)) return refused;
    CARNOT_CALL(TRITONBACKEND_ModelInstanceSetState(handle, instance.get()));
    instance.release();
    return std::nullopt;
  });
}

CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* handle) {
  return guarded([&] { return finalize<Instance>(handle, TRITONBACKEND_ModelInstanceState); });
}

// An error here would leave all requests with the server, so it is for what comes before the first answer.
CARNOT_ENTRY TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* handle,
                                                                    TRITONBACKEND_Request** requests,
                                                                    const uint32_t count) {
  return guarded([&]() -> MaybeFailure {
    Instance* instance = nullptr;
    if (auto refused = state_of(handle, TRITONBACKEND_ModelInstanceState, &instance)) return refused;
    instance->execute({requests, count});
    return std::nullopt;
  });
}
