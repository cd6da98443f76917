// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <new>

#include "carnot/compiler.h"
#include "carnot/network.hpp"

extern "C" carnot_status carnot_build_onnx(const char* model_path, const char* engine_path, const char* device, char* message,
                                           size_t message_bytes) {
  const auto fail = [&](carnot_status status, const char* why) {
    if (message && message_bytes) std::snprintf(message, message_bytes, "%s", why);
    return status;
  };
  if (!model_path || !engine_path) return fail(CARNOT_INVALID_ARGUMENT, "a path is missing");
  try {
    carnot::BuildSettings settings;
    if (device && *device) settings.device = device;
    carnot::write_engine(engine_path, carnot::build_onnx(model_path, settings));
    return CARNOT_OK;
  } catch (const carnot::Exception& e) {
    return fail(e.status(), e.what());
  } catch (const std::bad_alloc&) {
    return fail(CARNOT_OUT_OF_MEMORY, "no memory for the build");
  } catch (const std::exception& e) {
    return fail(CARNOT_INTERNAL, e.what());
  }
}
