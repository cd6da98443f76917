// SPDX-License-Identifier: Apache-2.0
#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace carnot::stand_in {

namespace {
constexpr size_t kPage = 4096, kAlignment = 256;
size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }
}  // namespace

uintptr_t Memory::allocate(size_t bytes) {
  if (bytes == 0 || bytes > free_bytes()) return 0;
  const size_t pages = rounded(bytes, kPage);
  const int file = memfd_create("stand_in", 0);
  if (file < 0 || ftruncate(file, static_cast<off_t>(pages)) != 0) return 0;
  void* const closed = mmap(nullptr, pages + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* const view = mmap(nullptr, pages + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* const opened = mmap(view, pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  close(file);
  if (closed == MAP_FAILED || view == MAP_FAILED || opened == MAP_FAILED) return 0;
  // Nobody may rely on what fresh memory holds.
  std::memset(view, 0xa5, pages);
  const auto base = reinterpret_cast<uintptr_t>(closed);
  const uintptr_t begin = base + pages - rounded(bytes, kAlignment);
  ranges_[base] = {base, pages, begin, bytes, static_cast<char*>(view)};
  used_ += bytes;
  return begin;
}

const Memory::Range* Memory::find(uintptr_t address) const {
  auto it = ranges_.upper_bound(address);
  if (it == ranges_.begin()) return nullptr;
  const Range& r = (--it)->second;
  return address < r.base + r.pages + kPage ? &r : nullptr;
}

bool Memory::release(uintptr_t address) {
  const Range* r = find(address);
  if (!r || r->begin != address) return false;
  munmap(reinterpret_cast<void*>(r->base), r->pages + kPage);
  munmap(r->view, r->pages + kPage);
  used_ -= r->bytes;
  ranges_.erase(r->base);
  return true;
}

char* Memory::open(uintptr_t address, size_t bytes) const {
  const Range* r = find(address);
  if (!r || address < r->begin || bytes > r->bytes || address - r->begin > r->bytes - bytes) return nullptr;
  return r->view + (address - r->base);
}

bool Memory::is_device(uintptr_t address) const { return find(address) != nullptr; }

void* Memory::pin(size_t bytes, bool shared) {
  void* const p = std::aligned_alloc(kAlignment, rounded(bytes, kAlignment));
  if (p) pinned_[reinterpret_cast<uintptr_t>(p)] = bytes;
  if (p && shared) shared_[reinterpret_cast<uintptr_t>(p)] = bytes;
  return p;
}

bool Memory::unpin(void* p) {
  if (pinned_.erase(reinterpret_cast<uintptr_t>(p)) == 0) return false;
  shared_.erase(reinterpret_cast<uintptr_t>(p));
  std::free(p);
  return true;
}

bool Memory::is_shared(uintptr_t address) const {
  auto it = shared_.upper_bound(address);
  return it != shared_.begin() && address - (--it)->first < it->second;
}

bool Memory::is_pinned(const void* p, size_t bytes) const {
  const auto address = reinterpret_cast<uintptr_t>(p);
  auto it = pinned_.upper_bound(address);
  if (it == pinned_.begin()) return false;
  --it;
  return bytes <= it->second && address - it->first <= it->second - bytes;
}

}  // namespace carnot::stand_in
