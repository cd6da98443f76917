// SPDX-License-Identifier: Apache-2.0
#include "nvrtc.hpp"

#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace carnot::test {
namespace {
constexpr size_t kTextsPerProgram = 16;

template <typename Fn>
Fn symbol(void* library, const char* name) {
  return reinterpret_cast<Fn>(dlsym(library, name));
}
}  // namespace

std::optional<Nvrtc> Nvrtc::open() {
  Nvrtc n;
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"})
    if ((n.library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL))) return n;
  return std::nullopt;
}

std::string Nvrtc::compile(const std::string& source, const char* architecture) const {
  using Program = void*;
  auto create = symbol<int (*)(Program*, const char*, const char*, int, const char* const*, const char* const*)>(library_, "nvrtcCreateProgram");
  auto compile = symbol<int (*)(Program, int, const char* const*)>(library_, "nvrtcCompileProgram");
  auto log_size = symbol<int (*)(Program, size_t*)>(library_, "nvrtcGetProgramLogSize");
  auto get_log = symbol<int (*)(Program, char*)>(library_, "nvrtcGetProgramLog");
  auto destroy = symbol<int (*)(Program*)>(library_, "nvrtcDestroyProgram");
  Program program = nullptr;
  if (create(&program, source.c_str(), "texts.cu", 0, nullptr, nullptr) != 0) return "nvrtcCreateProgram failed";
  const std::string arch = fmt::format("-arch={}", architecture);
  const char* options[] = {arch.c_str(), "-std=c++17", "-default-device"};
  std::string message;
  if (compile(program, 2, options) != 0) {
    size_t n = 0;
    log_size(program, &n);
    message.resize(n);
    get_log(program, message.data());
    message = fmt::format("{}: {}", architecture, message.substr(0, 3000));
  }
  destroy(&program);
  return message;
}

std::string Nvrtc::compile_all(const std::map<std::string, const std::string*>& texts) const {
  std::vector<std::string> programs;
  size_t n = 0;
  for (const auto& [entry, text] : texts) {
    if (n++ % kTextsPerProgram == 0) programs.emplace_back();
    programs.back() += fmt::format("namespace k{} {{\n{}}}\n", n, *text);
  }
  std::atomic<size_t> next{0};
  std::string message;
  std::mutex mutex;
  auto work = [&] {
    for (size_t i; (i = next++) < programs.size();) {
      // PTX shows what is wrong with a text; a part of them tells whether it fits a machine, and whether others differ.
      std::string bad = compile(programs[i], "compute_90a");
      for (const char* arch : {"sm_80", "compute_100"})
        if (bad.empty() && i % 8 == 0) bad = compile(programs[i], arch);
      const std::lock_guard lock(mutex);
      if (message.empty()) message = bad;
      if (!message.empty()) return;
    }
  };
  std::thread second(work);
  work();
  second.join();
  return message;
}

}  // namespace carnot::test
