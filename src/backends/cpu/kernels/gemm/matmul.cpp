// SPDX-License-Identifier: Apache-2.0
// Batched products whose B is computed at run time: B is packed into scratch and multiplied like a constant one.
#include <algorithm>

#include "backends/cpu/kernels/gemm/block.hpp"
#include "backends/cpu/kernels/gemm/gemm.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {
namespace {

constexpr int64_t kMaxRows = 256;
constexpr int64_t kAlign = 16;  // floats

int64_t align_up(int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

int64_t batches(const BatchedMatmul& p) {
  int64_t n = 1;
  for (int64_t d : p.batch) n *= d;
  return n;
}

int64_t offset(const int64_t (&batch)[BatchedMatmul::kBatchDims], const ptrdiff_t (&stride)[BatchedMatmul::kBatchDims],
               int64_t index) {
  int64_t at = 0;
  for (int d = BatchedMatmul::kBatchDims - 1; d >= 0; --d) {
    at += index % batch[d] * stride[d];
    index /= batch[d];
  }
  return at;
}

struct Plan {
  bool direct_b = false;    // rows of B are read where they lie
  bool pack_a = false;      // rows of A are not contiguous
  bool per_worker = false;  // a task is a whole product; its scratch belongs to the worker
  bool shared_b = false;    // one B for all products
  int64_t b_floats = 0, a_floats = 0;
  int64_t b_copies = 0, a_copies = 0;
  int64_t bytes() const { return (b_floats * b_copies + a_floats * a_copies) * int64_t{sizeof(float)}; }
};

Plan make_plan(const BatchedMatmul& p, int threads) {
  Plan plan;
  const int64_t count = batches(p);
  // For few rows packing would cost more than reading rows of B that are far apart.
  plan.direct_b = p.b_col == 1 && p.n % kPanel == 0 && p.scale == 1 && (p.packed_b < 0 ? p.m <= 16 : p.packed_b == 0);
  plan.pack_a = p.a_col != 1;
  plan.shared_b = std::all_of(std::begin(p.b_batch), std::end(p.b_batch), [](ptrdiff_t s) { return s == 0; });
  plan.per_worker = !(plan.shared_b && count > 1) && count >= threads && (count % threads == 0 || count >= 4 * threads);
  if (!plan.direct_b) {
    plan.b_floats = align_up(packed_size(p.k, p.n));
    plan.b_copies = plan.shared_b ? 1 : plan.per_worker ? threads : count;
  }
  if (plan.pack_a) {
    plan.a_floats = align_up(p.m * p.k);
    plan.a_copies = plan.per_worker ? threads : count;
  }
  return plan;
}

void pack_b(const BatchedMatmul& p, const float* b, float* packed) {
  if (p.b_col == 1)
    pack_kn(b, p.k, p.n, p.b_row, packed);
  else if (p.b_row == 1)
    pack_nk(b, p.k, p.n, p.b_col, packed);
  else
    for (int64_t n0 = 0; n0 < p.n; n0 += kPanel)
      for (int64_t k = 0; k < p.k; ++k)
        for (int64_t j = 0; j < kPanel; ++j)
          packed[(n0 * p.k) + k * kPanel + j] = n0 + j < p.n ? b[k * p.b_row + (n0 + j) * p.b_col] : 0.f;
  if (p.scale != 1)
    for (int64_t i = 0, size = packed_size(p.k, p.n); i < size; ++i) packed[i] *= p.scale;
}

void pack_a(const BatchedMatmul& p, const float* a, float* packed) {
  for (int64_t r = 0; r < p.m; ++r)
    for (int64_t k = 0; k < p.k; ++k) packed[r * p.k + k] = a[r * p.a_row + k * p.a_col];
}

// Rows [row0, row1) and columns [col0, col1) of one product.
void multiply(const BatchedMatmul& p, const Plan& plan, Isa isa, const float* a, const float* b, float* c, int64_t row0,
              int64_t row1, int64_t col0, int64_t col1) {
  const int64_t zero_offset = 0, lda = plan.pack_a ? p.k : p.a_row;
  const float* rows[kMaxRows];
  for (int64_t row = row0; row < row1; row += kMaxRows) {
    Block block;
    block.isa = isa;
    block.rows = std::min(kMaxRows, row1 - row);
    for (int64_t r = 0; r < block.rows; ++r) rows[r] = a + (row + r) * lda;
    block.a = rows;
    block.a_stride = block.rows;
    block.depth = p.k;
    block.b = b;
    block.b_offsets = &zero_offset;
    block.b_stride = plan.direct_b ? kPanel : p.k * kPanel;
    block.b_step = plan.direct_b ? p.b_row : kPanel;
    block.col0 = col0;
    block.col1 = col1;
    block.c = c + row * p.c_row;
    block.ldc = p.c_row;
    block.row0 = row;
    block.epilogue = &p.epilogue;
    block.blocking = p.blocking;
    run_block(block);
  }
}

}  // namespace

size_t matmul_workspace(const BatchedMatmul& p, int threads) { return size_t(make_plan(p, threads).bytes()); }

void run_matmul(const BatchedMatmul& p, void* workspace, ThreadPool& pool, Isa isa) {
  const int64_t count = batches(p);
  if (count <= 0 || p.m <= 0 || p.n <= 0) return;
  const Plan plan = make_plan(p, pool.threads());
  float* const scratch_b = static_cast<float*>(workspace);
  float* const scratch_a = scratch_b + plan.b_floats * plan.b_copies;
  auto a_of = [&](int64_t i) { return p.a + offset(p.batch, p.a_batch, i); };
  auto b_of = [&](int64_t i) { return p.b + offset(p.batch, p.b_batch, i); };
  auto c_of = [&](int64_t i) { return p.c + offset(p.batch, p.c_batch, i); };

  if (plan.per_worker) {
    pool.parallel_for(count, [&](int64_t i, int worker) {
      const float *a = a_of(i), *b = b_of(i);
      if (!plan.direct_b) {
        float* packed = scratch_b + plan.b_floats * (plan.shared_b ? 0 : worker);
        pack_b(p, b, packed);
        b = packed;
      }
      if (plan.pack_a) {
        float* packed = scratch_a + plan.a_floats * worker;
        pack_a(p, a, packed);
        a = packed;
      }
      multiply(p, plan, isa, a, b, c_of(i), 0, p.m, 0, p.n);
    });
    return;
  }

  if (plan.b_copies + plan.a_copies > 0) {
    pool.parallel_for(plan.b_copies + plan.a_copies, [&](int64_t i) {
      if (i < plan.b_copies)
        pack_b(p, b_of(i), scratch_b + i * plan.b_floats);
      else
        pack_a(p, a_of(i - plan.b_copies), scratch_a + (i - plan.b_copies) * plan.a_floats);
    });
  }
  // Each product is cut so that all of them together fill the pool.
  const int64_t share = std::max<int64_t>(1, (pool.threads() + count - 1) / count);
  const Partition part = partition_output(p.m, (p.n + kPanel - 1) / kPanel, p.k, kMaxRows, int(share), p.blocking);
  pool.parallel_for(count * part.tasks(), [&](int64_t task) {
    const int64_t i = task / part.tasks(), t = task % part.tasks();
    const int64_t row = t / part.col_tasks * part.rows, col = t % part.col_tasks * part.panels * kPanel;
    const float* a = plan.pack_a ? scratch_a + i * plan.a_floats : a_of(i);
    const float* b = plan.direct_b ? b_of(i) : scratch_b + (plan.shared_b ? 0 : i) * plan.b_floats;
    multiply(p, plan, isa, a, b, c_of(i), row, std::min(p.m, row + part.rows), col,
             std::min(p.n, col + part.panels * kPanel));
  });
}

}  // namespace carnot::cpu
