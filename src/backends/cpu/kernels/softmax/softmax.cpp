// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/softmax/softmax.hpp"

#include <algorithm>

#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/softmax/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(SoftmaxTable, softmax_table, fill_softmax_table)

void run_softmax(const Softmax& s, ThreadPool& pool, Isa isa) {
  if (s.cols == 0) return;
  const SoftmaxTable& table = softmax_table(isa);
  pool.parallel_ranges(s.rows, std::max<int64_t>(1, 4096 / s.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* mask = nullptr;
      if (s.mask) {
        const int64_t k = r % s.row_dims[2], j = r / s.row_dims[2] % s.row_dims[1], i = r / s.row_dims[2] / s.row_dims[1];
        mask = s.mask + i * s.mask_strides[0] + j * s.mask_strides[1] + k * s.mask_strides[2];
      }
      table.row(s.in + r * s.ld_in, mask, s.scale, s.out + r * s.ld_out, s.cols, s.log);
    }
  });
}

void run_softmax_axis(const float* in, float* out, int64_t outer, int64_t axis, int64_t inner, bool log, ThreadPool& pool, Isa isa) {
  if (inner == 1) return run_softmax({.rows = outer, .cols = axis, .in = in, .out = out, .ld_in = axis, .ld_out = axis, .log = log}, pool, isa);
  if (axis == 0 || inner == 0) return;
  const SoftmaxTable& table = softmax_table(isa);
  const int64_t blocks = (inner + kSoftmaxColumns - 1) / kSoftmaxColumns;
  pool.parallel_ranges(outer * blocks, std::max<int64_t>(1, 4096 / (axis * kSoftmaxColumns)), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t c = t % blocks * kSoftmaxColumns, offset = t / blocks * axis * inner + c;
      table.columns(in + offset, out + offset, axis, inner, std::min(kSoftmaxColumns, inner - c), log);
    }
  });
}

}  // namespace carnot::cpu
