// SPDX-License-Identifier: Apache-2.0
#include "subject.hpp"

#include <cstdlib>

#include "compiler/cuda_code.hpp"
#include "device/backend.hpp"

namespace carnot::test {

namespace {
std::string kind = "cpu";
}

const std::string& subject() { return kind; }
void set_subject(std::string name) { kind = std::move(name); }
bool on_cpu() { return kind == "cpu"; }

device::Device& the_device() {
  static const std::shared_ptr<device::Device> device = [] {
    auto backend = device::open_backend(kind);
    auto opened = backend ? (*backend)->open(0) : Result<std::shared_ptr<device::Device>>(std::move(backend.error()));
    if (!opened) {
      fprintf(stderr, "device '%s' cannot be tested: %s\n", kind.c_str(), opened.error().message.c_str());
      std::exit(2);
    }
    return *opened;
  }();
  return *device;
}

std::string build_target() {
  if (on_cpu()) return "cpu";
  return kind + ":" + the_device().info()->architecture;
}

Result<std::vector<std::byte>> code_of(const Text& text) {
  const std::string source = "extern \"C\" __global__ void __launch_bounds__(64) " + text.entry + "(" + text.parameters +
                             ", const long long n) {\n  const long long i = (long long)blockIdx.x * 64 + threadIdx.x;\n  if (i < n) y[i] = " + text.body + ";\n}\n";
  CARNOT_ASSIGN(const auto compiled, compiler::compile_cuda({source}, std::stoi(the_device().info()->architecture.substr(3))));
  const auto* bytes = reinterpret_cast<const std::byte*>(compiled[0].data());
  return std::vector<std::byte>(bytes, bytes + compiled[0].size());
}

Attrs launch_params(const Text& text) {
  std::vector<std::string> scalars = text.scalars;
  scalars.push_back("o0n");
  return {{"entry", text.entry}, {"grid", std::vector<std::string>{"ceildiv(o0n,64)", "1", "1"}}, {"block", std::vector<int64_t>{64, 1, 1}}, {"scalars", scalars}};
}

}  // namespace carnot::test
