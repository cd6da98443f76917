// SPDX-License-Identifier: Apache-2.0
// A family of kernels compiled once per instruction set is a table of functions; fill_x_table() of body.hpp fills it in the namespace of
// the set. In the family's .cpp, in namespace carnot::cpu:
//
//   CARNOT_ISA_TABLE(SoftmaxTable, softmax_table, fill_softmax_table)
//
// defines `const SoftmaxTable& softmax_table(Isa)`: filled at the first call, safe from any thread.
#pragma once
#include "base/cpu_features.hpp"

#define CARNOT_ISA_TABLE(Table, get, fill) \
  namespace avx512 {                       \
  void fill(Table& table);                 \
  }                                        \
  namespace avx2 {                         \
  void fill(Table& table);                 \
  }                                        \
  namespace sse2 {                         \
  void fill(Table& table);                 \
  }                                        \
  const Table& get(Isa isa) {              \
    if (isa >= Isa::kAvx512) {             \
      static const Table table = ::carnot::cpu::filled_table(&avx512::fill); \
      return table;                        \
    }                                      \
    if (isa >= Isa::kAvx2) {               \
      static const Table table = ::carnot::cpu::filled_table(&avx2::fill);   \
      return table;                        \
    }                                      \
    static const Table table = ::carnot::cpu::filled_table(&sse2::fill);     \
    return table;                          \
  }

namespace carnot::cpu {

template <typename Table>
Table filled_table(void (*fill)(Table&)) {
  Table table{};
  fill(table);
  return table;
}

}  // namespace carnot::cpu
