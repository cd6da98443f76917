// SPDX-License-Identifier: Apache-2.0
#include "build.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "carnot/compiler.h"

namespace carnot::triton {
namespace {

namespace fs = std::filesystem;
constexpr const char* kCompiler = "libcarnot_compiler.so.0";

std::string default_folder() {
  if (const char* dir = std::getenv("CARNOT_CACHE_DIR")) return dir;
  if (const char* dir = std::getenv("XDG_CACHE_HOME")) return std::string(dir) + "/carnot";
  if (const char* dir = std::getenv("HOME")) return std::string(dir) + "/.cache/carnot";
  return "";
}

struct Compiler {
  decltype(&carnot_build_onnx) build = nullptr;
  std::string path, problem;
};

// Opened when it is first needed, and then kept: it is found beside this library by the run path of the link.
const Compiler& compiler() {
  static const Compiler kOpened = [] {
    Compiler c;
    void* library = dlopen(kCompiler, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      c.problem = dlerror();
      return c;
    }
    c.build = reinterpret_cast<decltype(&carnot_build_onnx)>(dlsym(library, "carnot_build_onnx"));
    if (!c.build) c.problem = "it is too old";
    Dl_info info{};
    if (c.build && dladdr(reinterpret_cast<void*>(c.build), &info) && info.dli_fname) c.path = info.dli_fname;
    return c;
  }();
  return kOpened;
}

long long stamp(const std::string& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  return error ? 0 : static_cast<long long>(time.time_since_epoch().count());
}

}  // namespace

MaybeFailure engine_of(const std::string& model, std::string folder, const std::string& device, std::string* engine) {
  const Compiler& c = compiler();
  const std::string name = fs::path(model).filename().string();
  if (!c.build)
    return failure(TRITONSERVER_ERROR_UNSUPPORTED,
                   "'{}' is no engine, and there is no usable {} beside libtriton_carnot.so ({}): put it there, or run "
                   "`carnot build {} -o model.engine` and put model.engine into the version's folder",
                   name, kCompiler, c.problem, name);
  if (folder.empty()) folder = default_folder();
  if (folder.empty())
    return failure(TRITONSERVER_ERROR_UNAVAILABLE,
                   "there is no folder for the engine of '{}': set CARNOT_CACHE_DIR or start the server with "
                   "--backend-config=carnot,cache-directory=FOLDER",
                   name);
  std::error_code error;
  const std::string real = fs::canonical(model, error).string();
  const size_t key = std::hash<std::string>()(fmt::format(
      "{}|{}|{}|{}|{}|{}", device, real, stamp(model), fs::file_size(model, error), stamp(c.path), carnot_version()));
  *engine = fmt::format("{}/{}-{:016x}.engine", folder, fs::path(model).stem().string(), key);
  // Models load side by side; two of the same file must not write one engine at once.
  static std::mutex one;
  std::lock_guard lock(one);
  if (fs::exists(*engine, error)) return std::nullopt;
  fs::create_directories(folder, error);
  log(TRITONSERVER_LOG_INFO, fmt::format("building an engine of {}", model));
  char message[2048] = "";
  const carnot_status status = c.build(model.c_str(), engine->c_str(), device.c_str(), message, sizeof message);
  if (status == CARNOT_OK) return std::nullopt;
  const auto code = status == CARNOT_INTERNAL ? TRITONSERVER_ERROR_INTERNAL : TRITONSERVER_ERROR_INVALID_ARG;
  std::string text = message;
  for (size_t at; (at = text.find(model)) != std::string::npos;) text.replace(at, model.size(), name);
  return failure(code, "cannot build an engine of '{}': {}", name, text);
}

}  // namespace carnot::triton
