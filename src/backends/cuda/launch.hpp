// SPDX-License-Identifier: Apache-2.0
// cuda.launch: a kernel that the compiler generated and compiled. Its entry takes the pointers of all inputs (null: absent), of all
// outputs, of the workspace if it has one, of a word for complaints if it takes one, then its scalars as long long.
#pragma once
#include <map>
#include <mutex>
#include <string>

#include "backends/cuda/api.hpp"
#include "backends/cuda/kernel.hpp"

namespace carnot::cuda {

// Loaded code. Unloaded with its last kernel.
class Module {
 public:
  Module(const Api& api, CUcontext context, CUmodule module) : api_(api), context_(context), module_(module) {}
  ~Module();
  CUmodule get() const { return module_; }

 private:
  const Api& api_;
  CUcontext context_;
  CUmodule module_;
};

// The modules of a device; equal code is loaded once.
class Modules {
 public:
  Result<std::shared_ptr<Module>> load(const Api& api, CUcontext context, std::span<const std::byte> code);

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Module>> loaded_;  // by its bytes
};

Result<std::unique_ptr<Kernel>> make_launch(const Api& api, std::shared_ptr<Module> module, const Attrs& params);

}  // namespace carnot::cuda
