// SPDX-License-Identifier: Apache-2.0
// A file mapped read-only into memory, alive as long as somebody holds it.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"

namespace carnot {

class MappedFile {
 public:
  // Regular files only; the error names the path and the system's reason.
  static Result<std::shared_ptr<MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  // Gives back the memory of whole pages within this part; they are read again from the file if somebody looks. For parts of bytes() alone.
  static void forget(const void* data, size_t size);

 private:
  MappedFile(void* data, size_t size) : data_(data), size_(size) {}
  void* data_;
  size_t size_;
};

}  // namespace carnot
