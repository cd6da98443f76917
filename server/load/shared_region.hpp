// SPDX-License-Identifier: Apache-2.0
// A piece of system shared memory of the load client's own. It is gone with the object.
#pragma once
#include <cstddef>
#include <string>

#include "core/fault.hpp"

namespace carnot::serve::load {

class SharedRegion {
 public:
  SharedRegion() = default;
  ~SharedRegion();
  SharedRegion(const SharedRegion&) = delete;
  SharedRegion& operator=(const SharedRegion&) = delete;
  MaybeFault create(const std::string& key, size_t bytes);
  std::byte* data() const { return data_; }
  const std::string& key() const { return key_; }

 private:
  std::string key_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace carnot::serve::load
