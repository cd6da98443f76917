// SPDX-License-Identifier: Apache-2.0
#include "device/backend.hpp"

#include <dlfcn.h>

#include <charconv>
#include <map>
#include <mutex>
#include <string>

namespace carnot::device {
namespace {

// The folder of the library that this code is linked into; "" if the loader does not tell.
std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&own_folder), &info) || !info.dli_fname) return {};
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? std::string() : file.substr(0, slash + 1);
}

Result<Backend*> load(std::string_view kind) {
  const std::string name = fmt::format("libcarnot_{}.so", kind);
  // Local symbols: a backend shares no name with anything else in the process.
  void* library = dlopen((own_folder() + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  std::string reason;
  if (!library) {
    reason = dlerror();
    library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (!library)
    return fail(Code::kUnsupported, "device '{}' needs {}, which could not be opened ({}); put it beside libcarnot.so or into LD_LIBRARY_PATH", kind, name, reason);
  const auto version = reinterpret_cast<BackendVersionFn>(dlsym(library, "carnot_backend_version"));
  const auto backend = reinterpret_cast<BackendFn>(dlsym(library, "carnot_backend"));
  if (!version || !backend) return fail(Code::kUnsupported, "{} is not a backend of Carnot", name);
  if (std::string_view(version()) != kBackendVersion)
    return fail(Code::kUnsupported, "{} is of version '{}', this library needs '{}'; install both from one release", name, version(), kBackendVersion);
  return backend();
}

}  // namespace

Result<Backend*> open_backend(std::string_view kind) {
  static std::mutex mutex;
  static std::map<std::string, Backend*, std::less<>> opened;
  const std::lock_guard lock(mutex);
  if (auto it = opened.find(kind); it != opened.end()) return it->second;
  CARNOT_ASSIGN(Backend* const backend, load(kind));
  opened.emplace(kind, backend);
  return backend;
}

Result<DeviceName> parse_device(std::string_view text) {
  const size_t colon = text.find(':');
  DeviceName name{std::string(text.substr(0, colon)), 0};
  if (name.kind != "cpu" && name.kind != "cuda") return invalid("device '{}' is not known; the devices are cpu and cuda", text);
  if (colon == std::string_view::npos) return name;
  const std::string_view rest = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), name.ordinal);
  if (error != std::errc() || end != rest.data() + rest.size() || name.ordinal < 0)
    return invalid("device '{}': after the colon stands the number of the device, as in cuda:0", text);
  return name;
}

}  // namespace carnot::device
