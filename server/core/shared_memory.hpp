// SPDX-License-Identifier: Apache-2.0
// Regions of this machine's shared memory that clients registered: tensors are read from and written to them in place.
// A region stays mapped until it is unregistered and the last request that uses it is answered. Any thread may call any
// member.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/fault.hpp"

namespace carnot::serve {

class SharedMemory {
 public:
  struct Region {
    std::string name, key;
    uint64_t offset = 0, bytes = 0;
  };
  // A part of a region; `owner` keeps it mapped.
  struct Part {
    std::byte* data = nullptr;
    std::shared_ptr<const void> owner;
  };

  // `allowed` false: everything but status() is refused. Keys must begin with `prefix`.
  SharedMemory(bool allowed, std::string prefix) : allowed_(allowed), prefix_(std::move(prefix)) {}

  MaybeFault add(const Region& region);
  MaybeFault remove(const std::string& name);                     // "" = all; an unknown name is no mistake
  Or<std::vector<Region>> status(const std::string& name) const;  // "" = all
  Or<Part> find(const std::string& name, uint64_t offset, uint64_t bytes) const;

 private:
  class Mapping;
  MaybeFault check_allowed() const;
  const bool allowed_;
  const std::string prefix_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Mapping>> regions_;
};

}  // namespace carnot::serve
