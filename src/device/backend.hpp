// SPDX-License-Identifier: Apache-2.0
// The door between libcarnot.so and a backend's library (libcarnot_cuda.so): one exported function. Both come from one build; a library
// of another build is refused by its version text before anything else is called.
#pragma once
#include <memory>

#include "device/device.hpp"

namespace carnot::device {

inline constexpr char kBackendVersion[] = "carnot-backend-1/0.1.0";

class Backend {
 public:
  virtual ~Backend() = default;
  virtual int device_count() = 0;
  virtual Result<std::shared_ptr<Device>> open(int ordinal) = 0;  // the same object for the same ordinal
};

// extern "C" const char* carnot_backend_version();
// extern "C" carnot::device::Backend* carnot_backend();   // lives as long as the process
using BackendVersionFn = const char* (*)();
using BackendFn = Backend* (*)();

// Opens libcarnot_<kind>.so from the folder of this library, then by the loader's own search, once per process. Errors name the file and
// what is missing and how to install it.
Result<Backend*> open_backend(std::string_view kind);

// "cuda", "cuda:1": kind and ordinal.
struct DeviceName {
  std::string kind;
  int ordinal = 0;
};
Result<DeviceName> parse_device(std::string_view text);

}  // namespace carnot::device
