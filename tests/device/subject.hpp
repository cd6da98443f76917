// SPDX-License-Identifier: Apache-2.0
// What the suite runs on: "cpu", or a device kind such as "cuda", named on the command line. The same binary tests a real GPU and, with
// the stand-ins of stand_in/ in LD_LIBRARY_PATH, the same code without one.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/tensor.hpp"
#include "device/device.hpp"

namespace carnot::test {

// "cpu" or "cuda".
const std::string& subject();
void set_subject(std::string kind);
bool on_cpu();
// The first device of the subject. Tests of the device alone are skipped on the CPU.
device::Device& the_device();
// "cpu", or "cuda:sm_90" of the device at hand.
std::string build_target();
// A kernel of the device: y[i] = body, for which `i`, `n` (of y), and the arguments as `parameters` says can be used. The launch's
// parameters follow the contract of cuda.launch.
struct Text {
  std::string entry, parameters, body;
  std::vector<std::string> scalars;
};
Result<std::vector<std::byte>> code_of(const Text& text);
Attrs launch_params(const Text& text);

}  // namespace carnot::test
