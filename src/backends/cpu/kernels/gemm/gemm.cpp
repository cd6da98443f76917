// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/gemm.hpp"

#include <algorithm>

#include "backends/cpu/kernels/gemm/block.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "backends/cpu/kernels/half/half.hpp"
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

Partition partition(const Gemm& g, int threads) {
  return partition_output(g.m, (g.n + kPanel - 1) / kPanel, g.k, row_limit(g.k), threads, g.blocking);
}

int64_t align_floats(int64_t n) { return (n + 15) / 16 * 16; }

// Floats of one worker with narrow operands: its rows of A widened, and the sums that are on their way out.
int64_t half_floats(const Gemm& g, const Partition& part) { return align_floats(part.rows * g.k) + half_scratch_floats(part.rows); }

}  // namespace

size_t gemm_workspace(const Gemm& g, int threads) {
  if (g.half == DType::kInvalid || g.m <= 0 || g.n <= 0) return 0;
  return static_cast<size_t>(half_floats(g, partition(g, threads)) * threads) * sizeof(float);
}

void run_gemm(const Gemm& g, ThreadPool& pool, Isa isa) {
  if (g.m <= 0 || g.n <= 0) return;
  const Partition part = partition(g, pool.threads());
  pool.parallel_for(part.tasks(), [&](int64_t task, int worker) {
    const int64_t row = task / part.col_tasks * part.rows, col = task % part.col_tasks * part.panels * kPanel;
    const int64_t zero_offset = 0;
    const float* rows[kMaxRows];
    Block block;
    block.isa = isa;
    block.rows = std::min(part.rows, g.m - row);
    block.a = rows;
    block.a_stride = block.rows;
    block.depth = g.k;
    block.b_type = g.b_type;
    block.b = g.b;
    block.b_offsets = &zero_offset;
    block.b_stride = g.k * kPanel;
    block.col0 = col;
    block.col1 = std::min(g.n, col + part.panels * kPanel);
    block.row0 = row;
    block.epilogue = &g.epilogue;
    block.blocking = g.blocking;
    if (g.half == DType::kInvalid) {
      for (int64_t r = 0; r < block.rows; ++r) rows[r] = g.a + (row + r) * g.lda;
      block.c = g.c + row * g.ldc;
      block.ldc = g.ldc;
      run_block(block);
      return;
    }
    float* const own = static_cast<float*>(g.workspace) + worker * half_floats(g, part);
    const HalfKernels& kernels = half_kernels(g.half, isa);
    if (g.lda == g.k) kernels.widen(g.half_a + row * g.k, own, block.rows * g.k);
    for (int64_t r = 0; r < block.rows; ++r) {
      if (g.lda != g.k) kernels.widen(g.half_a + (row + r) * g.lda, own + r * g.k, g.k);
      rows[r] = own + r * g.k;
    }
    HalfOut out{g.half, g.half_c + row * g.ldc, g.ldc, nullptr, g.epilogue.ld_residual};
    if (g.half_residual) out.residual = g.half_residual + row * g.epilogue.ld_residual;
    run_block_half(block, out, own + align_floats(part.rows * g.k));
  });
}

}  // namespace carnot::cpu
