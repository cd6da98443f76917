// SPDX-License-Identifier: Apache-2.0
// CUDA texts compiled as C++ behind shim.hpp, and launched.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "collect.hpp"

namespace carnot::test {

// Compiles texts, many to a file, two files at once; what was compiled before is taken from the folder. The compiler's message if it
// refuses one.
class HostTexts {
 public:
  Status compile(const std::vector<const tactics::Candidate*>& candidates);

  enum class Memory {
    kTight,    // every tensor ends where memory ends: reading beyond is a crash, addresses are odd
    kAligned,  // and 64-byte aligned
    kInPlace,  // the first result lies on the first operand
  };
  // The results, or what is wrong with the launch.
  Result<std::vector<Constant>> run(const Trial& trial, Memory memory) const;

 private:
  struct Library {
    void* launch = nullptr;
    void* handle = nullptr;
  };
  std::map<std::string, Library> by_entry_;
};

}  // namespace carnot::test
