// SPDX-License-Identifier: Apache-2.0
// Compiles texts with the real NVRTC, if it is installed: no GPU is needed.
#pragma once
#include <map>
#include <optional>
#include <string>

namespace carnot::test {

class Nvrtc {
 public:
  static std::optional<Nvrtc> open();
  // By entry. PTX of all, machine code of some. The first log that is an error; empty: all compiled.
  std::string compile_all(const std::map<std::string, const std::string*>& texts) const;

 private:
  std::string compile(const std::string& source, const char* architecture) const;
  void* library_ = nullptr;
};

}  // namespace carnot::test
