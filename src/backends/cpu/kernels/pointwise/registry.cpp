// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/pointwise/contract.hpp"

namespace carnot::cpu {

#define CARNOT_POINTWISE_KERNELS(isa, name) \
  namespace name {                          \
  void fill_pointwise_table(PointwiseTable& table); \
  }
#include "backends/cpu/kernels/pointwise/kernels.inc"
#undef CARNOT_POINTWISE_KERNELS

const PointwiseTable& pointwise_table(Isa isa) {
#define CARNOT_POINTWISE_KERNELS(level, space)                      \
  if (isa >= Isa::level) {                                          \
    static const PointwiseTable* table = [] {                       \
      auto* t = new PointwiseTable{#space, Isa::level, {}, {}, {}, {}, {}}; \
      space::fill_pointwise_table(*t);                              \
      return t;                                                     \
    }();                                                            \
    return *table;                                                  \
  }
#include "backends/cpu/kernels/pointwise/kernels.inc"
#undef CARNOT_POINTWISE_KERNELS
  __builtin_unreachable();
}

}  // namespace carnot::cpu
