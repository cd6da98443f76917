// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/half/half.hpp"

#include <algorithm>

#include "base/threads.hpp"

namespace carnot::cpu {

#define CARNOT_HALF_KERNELS(isa, name)                  \
  namespace name {                                      \
  extern const HalfKernels kHalfKernels, kBrainKernels; \
  }
#include "backends/cpu/kernels/half/kernels.inc"
#undef CARNOT_HALF_KERNELS

const HalfKernels& half_kernels(DType type, Isa isa) {
#define CARNOT_HALF_KERNELS(level, name) \
  if (isa == Isa::level) return type == DType::kF16 ? name::kHalfKernels : name::kBrainKernels;
#include "backends/cpu/kernels/half/kernels.inc"
#undef CARNOT_HALF_KERNELS
  return type == DType::kF16 ? sse2::kHalfKernels : sse2::kBrainKernels;
}

namespace {
constexpr int64_t kGrain = 8192;  // elements that are worth handing to another thread
int64_t rows_at_a_time(int64_t columns) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, columns)); }
}

void widen_tensor(DType type, const void* from, float* to, int64_t n, ThreadPool& pool) {
  const HalfKernels& kernels = half_kernels(type);
  const auto* p = static_cast<const uint16_t*>(from);
  pool.parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) { kernels.widen(p + begin, to + begin, end - begin); });
}

void narrow_tensor(DType type, const float* from, void* to, int64_t n, ThreadPool& pool) {
  const HalfKernels& kernels = half_kernels(type);
  auto* p = static_cast<uint16_t*>(to);
  pool.parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) { kernels.narrow(from + begin, p + begin, end - begin); });
}

void widen_rows(DType type, const void* from, int64_t ld, float* to, int64_t rows, int64_t columns, ThreadPool& pool) {
  if (ld == columns) return widen_tensor(type, from, to, rows * columns, pool);
  const HalfKernels& kernels = half_kernels(type);
  const auto* p = static_cast<const uint16_t*>(from);
  pool.parallel_ranges(rows, rows_at_a_time(columns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) kernels.widen(p + r * ld, to + r * columns, columns);
  });
}

void narrow_rows(DType type, const float* from, void* to, int64_t ld, int64_t rows, int64_t columns, ThreadPool& pool) {
  if (ld == columns) return narrow_tensor(type, from, to, rows * columns, pool);
  const HalfKernels& kernels = half_kernels(type);
  auto* p = static_cast<uint16_t*>(to);
  pool.parallel_ranges(rows, rows_at_a_time(columns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) kernels.narrow(from + r * columns, p + r * ld, columns);
  });
}

}  // namespace carnot::cpu
