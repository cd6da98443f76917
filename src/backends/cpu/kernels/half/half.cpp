// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/half/half.hpp"

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

}  // namespace carnot::cpu
