// SPDX-License-Identifier: Apache-2.0
// The stand-in's memory. What it gives out as the device's cannot be touched by the host: its pages are closed, and the work of the
// device goes through a second view of the same pages.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>

namespace carnot::stand_in {

class Memory {
 public:
  static constexpr size_t kTotal = size_t{1} << 30;

  // The address for the device, 256-byte aligned, at the end of its pages; 0: more than is free.
  uintptr_t allocate(size_t bytes);
  bool release(uintptr_t address);
  size_t free_bytes() const { return kTotal - used_; }
  // Where `bytes` bytes of the device's lie for the one who does its work; null if they are none of the device's.
  char* open(uintptr_t address, size_t bytes) const;
  // Whether the address lies in pages of the device, a guard included.
  bool is_device(uintptr_t address) const;

  // `shared`: kernels may write to it.
  void* pin(size_t bytes, bool shared);
  bool unpin(void* p);
  bool is_shared(uintptr_t address) const;
  bool is_pinned(const void* p, size_t bytes) const;

 private:
  struct Range {
    uintptr_t base;   // of the closed pages, guard included
    size_t pages;
    uintptr_t begin;  // what was given out
    size_t bytes;
    char* view;       // of the first page
  };
  const Range* find(uintptr_t address) const;

  std::map<uintptr_t, Range> ranges_;  // by base
  std::map<uintptr_t, size_t> pinned_, shared_;
  size_t used_ = 0;
};

}  // namespace carnot::stand_in
