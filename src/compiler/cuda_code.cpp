// SPDX-License-Identifier: Apache-2.0
#include "compiler/cuda_code.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace carnot::compiler {
namespace {

using Program = void*;

struct Nvrtc {
  int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*cubin_size)(Program, size_t*) = nullptr;
  int (*cubin)(Program, char*) = nullptr;
  int (*destroy)(Program*) = nullptr;
};

template <typename Fn>
bool look_up(void* library, const char* name, Fn& fn) {
  return (fn = reinterpret_cast<Fn>(dlsym(library, name))) != nullptr;
}

Result<Nvrtc> open() {
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"}) {
    void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    Nvrtc n;
    if (library && look_up(library, "nvrtcCreateProgram", n.create) && look_up(library, "nvrtcCompileProgram", n.compile) &&
        look_up(library, "nvrtcGetProgramLogSize", n.log_size) && look_up(library, "nvrtcGetProgramLog", n.log) && look_up(library, "nvrtcGetCUBINSize", n.cubin_size) &&
        look_up(library, "nvrtcGetCUBIN", n.cubin) && look_up(library, "nvrtcDestroyProgram", n.destroy))
      return n;
  }
  return fail(Code::kUnsupported,
              "building for cuda needs NVRTC, and neither libnvrtc.so.13 nor libnvrtc.so.12 could be opened; install cuda-nvrtc-13-0 (NVIDIA's Debian packages) or "
              "nvidia-cuda-nvrtc (PyPI) and put its folder into LD_LIBRARY_PATH");
}

Result<std::string> compile_one(const Nvrtc& n, const std::string& source, const std::string& arch) {
  Program program = nullptr;
  if (n.create(&program, source.c_str(), "kernel.cu", 0, nullptr, nullptr) != 0) return fail(Code::kInternal, "NVRTC takes no program");
  const std::string option = "-arch=" + arch;
  const char* options[] = {option.c_str(), "-std=c++17", "-default-device"};
  std::string out;
  size_t size = 0;
  const bool done = n.compile(program, 3, options) == 0 && n.cubin_size(program, &size) == 0 && size > 0;
  if (done) {
    out.resize(size);
    n.cubin(program, out.data());
  } else if (n.log_size(program, &size) == 0) {
    out.resize(size);
    n.log(program, out.data());
  }
  n.destroy(&program);
  if (!done) return fail(Code::kInternal, "a generated kernel does not compile for {}: {}", arch, out.substr(0, 2000));
  return out;
}

}  // namespace

std::string cuda_architecture(int sm) { return fmt::format("sm_{}{}", sm, sm == 90 ? "a" : ""); }

Result<std::vector<std::string>> compile_cuda(const std::vector<std::string>& sources, int sm) {
  std::vector<std::string> out(sources.size());
  if (sources.empty()) return out;
  static const Result<Nvrtc> nvrtc = open();
  if (!nvrtc) return nvrtc.error();
  const std::string arch = cuda_architecture(sm);
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::optional<Error> error;
  const auto work = [&] {
    for (size_t i; (i = next++) < sources.size();) {
      auto code = compile_one(*nvrtc, sources[i], arch);
      const std::lock_guard lock(mutex);
      if (error) return;
      if (!code)
        error = std::move(code.error());
      else
        out[i] = std::move(*code);
    }
  };
  std::vector<std::thread> threads(std::min<size_t>(sources.size(), std::max(1u, std::thread::hardware_concurrency())) - 1);
  for (std::thread& t : threads) t = std::thread(work);
  work();
  for (std::thread& t : threads) t.join();
  if (error) return *error;
  return out;
}

}  // namespace carnot::compiler
