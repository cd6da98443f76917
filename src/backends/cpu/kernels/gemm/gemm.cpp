// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/gemm.hpp"

#include <algorithm>

#include "backends/cpu/kernels/gemm/block.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {
namespace {

// Rows of a block: their pointers live on the stack, and 512 rows of 256 floats are half of a second-level cache.
constexpr int64_t kMaxRows = 512;

int64_t row_limit(int64_t k) {
  // A block's part of A (see block.cpp: at most 1024 deep) should take half of the second-level cache.
  const int64_t depth = std::clamp<int64_t>(k, 64, 1024);
  return std::clamp<int64_t>(cpu_features().l2_bytes / 2 / (4 * depth), 64, kMaxRows);
}

}  // namespace

void run_gemm(const Gemm& g, ThreadPool& pool, Isa isa) {
  if (g.m <= 0 || g.n <= 0) return;
  const int64_t panels = (g.n + kPanel - 1) / kPanel;
  const Partition part = partition_output(g.m, panels, g.k, row_limit(g.k), pool.threads());
  pool.parallel_for(part.tasks(), [&](int64_t task) {
    const int64_t row = task / part.col_tasks * part.rows, col = task % part.col_tasks * part.panels * kPanel;
    const int64_t zero_offset = 0;
    const float* rows[kMaxRows];
    Block block;
    block.isa = isa;
    block.rows = std::min(part.rows, g.m - row);
    for (int64_t r = 0; r < block.rows; ++r) rows[r] = g.a + (row + r) * g.lda;
    block.a = rows;
    block.a_stride = block.rows;
    block.depth = g.k;
    block.b = g.b;
    block.b_offsets = &zero_offset;
    block.b_stride = g.k * kPanel;
    block.col0 = col;
    block.col1 = std::min(g.n, col + part.panels * kPanel);
    block.c = g.c + row * g.ldc;
    block.ldc = g.ldc;
    block.row0 = row;
    block.epilogue = &g.epilogue;
    run_block(block);
  });
}

}  // namespace carnot::cpu
