// SPDX-License-Identifier: Apache-2.0
#include "base/tensor.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace carnot {

AlignedPtr aligned_allocate(size_t bytes) {
  const size_t rounded = (std::max<size_t>(bytes, 1) + 63) / 64 * 64;
  return AlignedPtr(std::aligned_alloc(64, rounded));
}

Constant Constant::allocate(DType dtype, Dims dims) {
  Constant c{dtype, std::move(dims), nullptr, nullptr};
  // Large weights come and go while a network is built: as mappings of their own they leave no holes in the heap.
  constexpr size_t kMappedBytes = 1 << 20;
  if (const size_t bytes = c.bytes(); bytes >= kMappedBytes) {
    void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    c.data = pages;
    c.owner = std::shared_ptr<void>(pages, [bytes](void* p) { ::munmap(p, bytes); });
    return c;
  }
  AlignedPtr memory = aligned_allocate(c.bytes());
  if (!memory) throw std::bad_alloc();
  c.data = memory.get();
  c.owner = std::shared_ptr<void>(memory.release(), AlignedFree{});
  return c;
}

Constant Constant::copy_of(DType dtype, Dims dims, const void* bytes) {
  Constant c = allocate(dtype, std::move(dims));
  if (c.bytes() > 0) std::memcpy(c.mutable_data(), bytes, c.bytes());
  return c;
}

bool Constant::equals(const Constant& other) const {
  return dtype == other.dtype && dims == other.dims && (data == other.data || bytes() == 0 || std::memcmp(data, other.data, bytes()) == 0);
}

Result<std::vector<int64_t>> to_int64s(const TensorView& view) {
  std::vector<int64_t> out(static_cast<size_t>(view.size()));
  if (!is_integer(view.dtype) && view.dtype != DType::kBool)
    return invalid("expected an integer tensor, got {}", dtype_name(view.dtype));
  dispatch_dtype(view.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = view.as<T>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int64_t>(p[i]);
  });
  return out;
}

Result<std::vector<double>> to_doubles(const TensorView& view) {
  std::vector<double> out(static_cast<size_t>(view.size()));
  const bool known = dispatch_dtype(view.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = view.as<T>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(p[i]);
  });
  if (!known) return invalid("expected a numeric tensor, got {}", dtype_name(view.dtype));
  return out;
}

Result<Dims> broadcast_dims(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) return invalid("shapes {} and {} cannot be broadcast", to_string(a), to_string(b));
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace carnot
