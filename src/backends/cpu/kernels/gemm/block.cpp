// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/block.hpp"

#include <algorithm>
#include <limits>

#include "backends/cpu/kernels/gemm/pack.hpp"
#include "backends/cpu/kernels/half/half.hpp"

namespace carnot::cpu {
namespace {

// A pass over the depth reads rows * kDepth floats of A again for each pair of panels, so that part must stay in the
// second-level cache; its panels of B (kDepth * 32 floats) stream through the first level.
constexpr int64_t kDepth = 1024;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The kernel for `panels` panels that are left and blocks of `rows` rows: the wide ones need rows to hide the latency
// of the multiply-add, the flat one serves a matrix of few rows, where reading B once is everything.
const GemmKernel& pick(Isa isa, int64_t rows, int64_t panels, int64_t wanted) {
  const GemmKernelList all = gemm_kernels();
  if (wanted > 0 && wanted <= panels)
    for (const GemmKernel* k = all.begin; k != all.end; ++k)
      if (k->isa == isa && k->panels == wanted) return *k;
  const GemmKernel* best = nullptr;
  for (const GemmKernel* k = all.begin; k != all.end; ++k) {
    if (k->isa != isa) continue;
    if (!best) {
      best = k;
      continue;
    }
    if (rows <= best->rows && panels > 2) continue;  // all rows in one tile of the widest kernel
    // Odd panels end in three together; otherwise pairs with the most rows.
    if (panels == 3 ? k->panels == 3 : k->panels == 2) best = k;
  }
  return *best;
}

}  // namespace

void run_block(const Block& p) {
  const Epilogue& e = *p.epilogue;
  // Balanced pieces of the depth: several whole taps, or a part of one tap. With few rows there is nothing to keep in a
  // cache; and a residual that lies in the output must be read before the first store.
  const int64_t depth = std::max<int64_t>(p.depth, 1), taps = std::max<int64_t>(p.taps, 1);
  const bool in_place = e.residual && e.residual + p.row0 * e.ld_residual == p.c && e.ld_residual == p.ldc;
  const bool whole = p.rows <= 16 || in_place;
  const int64_t pass = p.blocking.depth > 0 ? p.blocking.depth : kDepth;
  const int64_t part_depth = whole ? depth : ceil_div(depth, ceil_div(depth, pass));
  const int64_t group = whole ? taps : part_depth < depth ? 1 : std::clamp<int64_t>(pass / depth, 1, taps);
  const auto element = static_cast<int64_t>(dtype_size(p.b_type));
  const char* const b = static_cast<const char*>(p.b);
  Tile t;
  t.b_type = p.b_type;
  t.a_stride = p.a_stride;
  t.b_stride = p.b_stride;
  t.b_step = p.b_step;
  t.ldc = p.ldc;
  t.ld_residual = e.ld_residual;
  t.residual_after = e.residual_after;
  t.activation = e.activation;
  t.alpha = e.alpha;
  t.beta = e.beta;
  for (int64_t tap = 0; tap < taps; tap += group) {
    t.taps = std::min(group, p.taps - tap);
    for (int64_t d = 0; d < depth; d += part_depth) {
      t.depth = std::min(part_depth, p.depth - d);
      t.a_offset = p.a_offset + d;
      t.b_offsets = p.b_offsets + tap;
      t.accumulate = p.accumulate || tap + d > 0;
      t.last = tap + group >= p.taps && d + part_depth >= p.depth;
      for (int64_t col = p.col0; col < p.col1;) {
        const int64_t panels = ceil_div(p.col1 - col, kPanel);
        const GemmKernel& kernel = pick(p.isa, p.rows, panels, p.blocking.panels);
        t.cols = int(std::min<int64_t>(p.col1 - col, kernel.panels * kPanel));
        const char* const t_b = b + element * (col / kPanel * p.b_stride + d * p.b_step);
        t.b = t_b;
        t.bias = e.bias ? e.bias + col : nullptr;
        const int64_t tiles = ceil_div(p.rows, kernel.rows);
        // The weights of a network come from memory at every run. While the tiles of this step go over its panels, they
        // fetch those of the next step, each tile a slice.
        const char* next = nullptr;
        int64_t next_panels = 0;
        if (col + t.cols < p.col1) {
          next = t_b + element * (kernel.panels * p.b_stride + p.b_offsets[tap]);
          next_panels = std::min<int64_t>(kernel.panels, ceil_div(p.col1 - col - t.cols, kPanel));
        } else if (!t.last) {
          const bool same_tap = d + part_depth < p.depth;
          next = b + element * (p.col0 / kPanel * p.b_stride +
                                (same_tap ? p.b_offsets[tap] + (d + part_depth) * p.b_step : p.b_offsets[tap + group]));
          next_panels = std::min<int64_t>(kernel.panels, ceil_div(p.col1 - p.col0, kPanel));
        }
        const int64_t slices = p.b_step == kPanel && next_panels > 0 ? tiles / next_panels : 0;  // of a panel
        const int64_t depth_bytes = t.taps * t.depth * kPanel * element;
        t.prefetch_step = slices > 0 ? kPanel * element / slices : 0;
        for (int64_t i = 0; i < tiles; ++i) {
          const int64_t row = p.rows * i / tiles;
          t.rows = int(p.rows * (i + 1) / tiles - row);
          t.a = p.a + tap * p.a_stride + row;
          t.c = p.c + row * p.ldc + col;
          t.residual = e.residual ? e.residual + (p.row0 + row) * e.ld_residual + col : nullptr;
          if (i < slices * next_panels)
            t.prefetch = next + i / slices * p.b_stride * element + i % slices * (depth_bytes / slices);
          else
            t.prefetch_step = 0;
          kernel.run(t);
        }
        col += t.cols;
      }
    }
  }
  if (e.post) e.post(e.post_ctx, p.c + p.col0, p.ldc, p.row0, p.rows, p.col0, p.col1 - p.col0);
}

void run_block_half(const Block& whole, const HalfOut& out, float* scratch) {
  const HalfKernels& kernels = half_kernels(out.type, whole.isa);
  const int64_t element = static_cast<int64_t>(dtype_size(whole.b_type));
  const int64_t wide = std::max<int64_t>(64, kHalfScratch / std::max<int64_t>(whole.rows, 1) / 64 * 64);
  for (int64_t col = whole.col0; col < whole.col1; col += wide) {
    const int64_t cols = std::min(wide, whole.col1 - col);
    Epilogue bias;
    bias.bias = whole.epilogue->bias ? whole.epilogue->bias + col : nullptr;
    Block block = whole;
    block.b = static_cast<const char*>(whole.b) + element * (col / kPanel * whole.b_stride);
    block.col0 = 0;
    block.col1 = cols;
    block.c = scratch;
    block.ldc = cols;
    block.epilogue = &bias;
    run_block(block);
    HalfBlock h;
    h.sum = scratch;
    h.ld_sum = cols;
    h.rows = whole.rows;
    h.cols = cols;
    h.residual = out.residual ? out.residual + col : nullptr;
    h.ld_residual = out.ld_residual;
    h.residual_after = whole.epilogue->residual_after;
    h.activation = whole.epilogue->activation;
    h.alpha = whole.epilogue->alpha;
    h.beta = whole.epilogue->beta;
    h.out = out.c + col;
    h.ld_out = out.ldc;
    kernels.finish(h);
  }
}

Partition partition_output(int64_t rows, int64_t panels, int64_t k, int64_t row_limit, int threads, const Blocking& blocking) {
  // Costs in cycles of one core with 32 multiply-adds a cycle. Known lies: caches are taken as one level of 8 bytes a
  // cycle, and all cores as equal; what matters is the ratio of reading a task's operands to using them, and the
  // rounds.
  constexpr double kFlopsPerCycle = 32, kBytesPerCycle = 8, kTaskCycles = 600;
  const int64_t pairs = std::max<int64_t>(1, ceil_div(panels, 2));
  const int64_t limit = row_limit > 0 ? row_limit : std::numeric_limits<int64_t>::max();
  if (blocking.rows > 0 || blocking.columns > 0) {
    const int64_t task_pairs = ceil_div(pairs, std::clamp<int64_t>(blocking.columns, 1, pairs)), col_tasks = ceil_div(pairs, task_pairs);
    const int64_t fair = ceil_div(std::max<int64_t>(rows, 1), std::max<int64_t>(1, threads / col_tasks));
    const int64_t most = std::min({limit, std::max<int64_t>(rows, 1), blocking.rows > 0 ? blocking.rows : fair});
    // Equal tasks of at most so many rows.
    const int64_t task_rows = ceil_div(std::max<int64_t>(rows, 1), ceil_div(std::max<int64_t>(rows, 1), most));
    return {ceil_div(std::max<int64_t>(rows, 1), task_rows), col_tasks, task_rows, task_pairs * 2};
  }
  Partition best;
  double best_cost = std::numeric_limits<double>::infinity();
  constexpr int kSplits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
  for (int col_tasks : kSplits) {
    if (col_tasks > pairs || (col_tasks > 1 && col_tasks > 2 * threads)) break;
    const int64_t task_pairs = ceil_div(pairs, col_tasks);
    for (int rounds = 1; rounds <= 4; ++rounds) {
      const int64_t wanted = std::max<int64_t>(1, int64_t{rounds} * threads / col_tasks);
      int64_t row_tasks = std::max(wanted, ceil_div(rows, limit));
      // Whole rounds of the pool, so that no thread idles at the end.
      row_tasks =
          std::min<int64_t>(ceil_div(row_tasks * col_tasks, threads) * threads / col_tasks, std::max<int64_t>(rows, 1));
      row_tasks = std::max<int64_t>({row_tasks, ceil_div(rows, limit), 1});
      const int64_t task_rows = ceil_div(std::max<int64_t>(rows, 1), row_tasks);
      const int64_t tasks = ceil_div(std::max<int64_t>(rows, 1), task_rows) * ceil_div(pairs, task_pairs);
      // Fewer than about 8 rows a tile leave the multiply-add units waiting.
      const double work =
          double(std::max<int64_t>(task_rows, rows < 8 ? 1 : 8)) * double(task_pairs) * 32 * double(k) / kFlopsPerCycle;
      const double bytes = (double(task_rows) + double(task_pairs) * 32) * double(k) * 4;
      const double cost = double(ceil_div(tasks, threads)) * (work + bytes / kBytesPerCycle + kTaskCycles);
      if (cost < best_cost) {
        best_cost = cost;
        best = {ceil_div(std::max<int64_t>(rows, 1), task_rows), ceil_div(pairs, task_pairs), task_rows,
                task_pairs * 2};
      }
    }
  }
  return best;
}

}  // namespace carnot::cpu
