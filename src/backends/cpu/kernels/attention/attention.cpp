// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/attention/attention.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "backends/cpu/kernels/attention/contract.hpp"
#include "backends/cpu/kernels/gemm/block.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "backends/cpu/kernels/isa_table.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(AttentionTable, attention_table, fill_attention_table)

namespace {

// A block of scores (128 KB) and the keys and values that it meets (64 KB each for heads of 64) stay in the
// second-level cache, while enough queries share one pass over the keys.
constexpr int64_t kQueries = 128;
constexpr int64_t kKeys = 256;
constexpr int64_t kMostKeys = 4096;
// Up to this many queries packing the keys would cost more than it saves.
constexpr int64_t kFewQueries = 4;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t align_up(int64_t n) { return ceil_div(n, 16) * 16; }

// n cut into equal blocks of at most `limit`, each a multiple of `step`.
int64_t balanced(int64_t n, int64_t limit, int64_t step) {
  return n <= 0 ? step : std::min(limit, ceil_div(ceil_div(n, ceil_div(n, limit)), step) * step);
}

struct Plan {
  bool direct = false;      // keys and values are read where they lie
  bool per_worker = false;  // a task is a key head with all its queries; packed keys and values belong to the worker
  int64_t query_block = 1, key_block = 16;
  int64_t k_floats = 0, v_floats = 0;  // packed, of one head
  int64_t scratch_floats = 0;          // of a worker: scores, a row of the mask, copied queries
  int64_t copies = 0;                  // of the packed operands
};

Plan make_plan(const Attention& p, int threads) {
  Plan plan;
  plan.direct = p.queries <= kFewQueries && p.q_strides.col == 1 && p.k_strides.col == 1 && p.v_strides.col == 1;
  if (plan.direct) {
    plan.scratch_floats = 2 * align_up(p.keys);
    return plan;
  }
  const int64_t heads = p.batch * p.kv_heads;
  plan.per_worker = heads >= threads && (heads % threads == 0 || heads >= 4 * threads);
  plan.query_block = balanced(p.queries, p.query_block > 0 ? std::min(p.query_block, kQueries) : kQueries, 1);
  if (!plan.per_worker && p.query_block <= 0)
    while (plan.query_block > 32 && p.batch * p.heads * ceil_div(p.queries, plan.query_block) < 2 * threads)
      plan.query_block = ceil_div(plan.query_block, 2);
  const int64_t keys = p.key_block > 0 ? ceil_div(std::min(p.key_block, kMostKeys), kPanel) * kPanel : p.keys <= 2 * kKeys ? 2 * kKeys : kKeys;
  plan.key_block = balanced(p.keys, keys, kPanel);
  plan.k_floats = align_up(packed_size(p.size, p.keys));
  plan.v_floats = align_up(packed_size(p.keys, p.v_size));
  plan.copies = plan.per_worker ? threads : heads;
  plan.scratch_floats = align_up(plan.query_block * plan.key_block) + align_up(plan.key_block);
  if (p.q_strides.col != 1) plan.scratch_floats += align_up(plan.query_block * p.size);
  return plan;
}

const float* at(const float* x, const Attention::Strides& s, int64_t batch, int64_t head) {
  return x + batch * s.batch + head * s.head;
}

// The mask of keys [key, key + n) for one query as a row of adjoining numbers, in `row` if it does not lie so already;
// null if there is none.
const float* mask_row(const Attention& p, const AttentionTable& table, int64_t b, int64_t h, int64_t query, int64_t key,
                      int64_t n, float* scores, float* row) {
  const Attention::Strides& s = p.mask_strides;
  const int64_t from = b % p.mask_batches * s.batch + h * s.head + query * s.row + key * s.col;
  if (p.keep) {
    table.apply_bool(p.keep + from, s.col, p.fill, scores, row, n);
    return row;
  }
  if (!p.mask || s.col == 1) return p.mask ? p.mask + from : nullptr;
  for (int64_t j = 0; j < n; ++j) row[j] = p.mask[from + j * s.col];
  return row;
}

// The keys [0, n) that a query sees.
int64_t seen(const Attention& p, int64_t query) {
  return p.causal ? std::clamp<int64_t>(query + p.offset + 1, 0, p.keys) : p.keys;
}

// The end of a row: divided by the sum of its weights.
void finish(const Attention& p, const AttentionTable& table, const RunningSoftmax& running, float* y) {
  const float factor = p.keys > 0 ? 1.f / running.sum : 1.f;
  if (p.zero_nan && p.keys > 0 && !(running.sum > 0))
    std::fill(y, y + p.v_size, 0.f);
  else
    table.multiply(y, factor, p.v_size);
}

void few_queries(const Attention& p, const AttentionTable& table, int64_t b, int64_t h, float* scratch) {
  const int64_t kv = h / (p.heads / p.kv_heads);
  const float *k = at(p.k, p.k_strides, b, kv), *v = at(p.v, p.v_strides, b, kv);
  float *scores = scratch, *row = scratch + align_up(p.keys);
  for (int64_t i = 0; i < p.queries; ++i) {
    float* y = p.y + b * p.y_strides.batch + h * p.y_strides.head + i * p.y_strides.row;
    const int64_t n = seen(p, i);
    RunningSoftmax running{-std::numeric_limits<float>::infinity(), 0};
    table.dots(at(p.q, p.q_strides, b, h) + i * p.q_strides.row, k, p.k_strides.row, p.size, scores, n);
    if (n > 0) table.weights(scores, mask_row(p, table, b, h, i, 0, n, scores, row), p.scale, n, &running);
    table.weighted_sum(scores, v, p.v_strides.row, n, y, p.v_size);
    finish(p, table, running, y);
  }
}

// Packs rows x cols of x: panels along the columns.
void pack(const float* x, ptrdiff_t row, ptrdiff_t col, int64_t rows, int64_t cols, float* packed) {
  if (col == 1) return pack_kn(x, rows, cols, row, packed);
  if (row == 1) return pack_nk(x, rows, cols, col, packed);
  for (int64_t c0 = 0; c0 < cols; c0 += kPanel)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = c0; c < c0 + kPanel; ++c) *packed++ = c < cols ? x[r * row + c * col] : 0.f;
}

void pack_keys(const Attention& p, int64_t b, int64_t kv, float* packed) {
  pack(at(p.k, p.k_strides, b, kv), p.k_strides.col, p.k_strides.row, p.size, p.keys, packed);
}
void pack_values(const Attention& p, int64_t b, int64_t kv, float* packed) {
  pack(at(p.v, p.v_strides, b, kv), p.v_strides.row, p.v_strides.col, p.keys, p.v_size, packed);
}

// Queries [begin, end) of one head with packed keys and values.
void query_block(const Attention& p, const Plan& plan, const AttentionTable& table, Isa isa, int64_t b, int64_t h,
                 int64_t begin, int64_t end, const float* k, const float* v, float* scratch) {
  static constexpr Epilogue kPlain;
  const int64_t zero_offset = 0, count = end - begin;
  float *scores = scratch, *row = scratch + align_up(plan.query_block * plan.key_block),
        *copy = row + align_up(plan.key_block);
  float* y = p.y + b * p.y_strides.batch + h * p.y_strides.head + begin * p.y_strides.row;
  const float* q = at(p.q, p.q_strides, b, h) + begin * p.q_strides.row;
  ptrdiff_t q_row = p.q_strides.row;
  if (p.q_strides.col != 1) {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < p.size; ++i) copy[r * p.size + i] = q[r * q_row + i * p.q_strides.col];
    q = copy;
    q_row = p.size;
  }
  const float *q_rows[kQueries], *score_rows[kQueries];
  RunningSoftmax running[kQueries];
  for (int64_t r = 0; r < count; ++r) {
    q_rows[r] = q + r * q_row;
    score_rows[r] = scores + r * plan.key_block;
    running[r] = {-std::numeric_limits<float>::infinity(), 0};
  }

  Block block;
  block.isa = isa;
  block.a_stride = block.rows = count;
  block.b_offsets = &zero_offset;
  block.epilogue = &kPlain;
  const int64_t last = seen(p, end - 1);
  for (int64_t key = 0; key < last; key += plan.key_block) {
    const int64_t n = std::min(plan.key_block, last - key);
    block.a = q_rows;
    block.depth = p.size;
    block.b = k + key * p.size;
    block.b_stride = p.size * kPanel;
    block.col1 = n;
    block.c = scores;
    block.ldc = plan.key_block;
    block.accumulate = false;
    run_block(block);

    for (int64_t r = 0; r < count; ++r) {
      float* s = scores + r * plan.key_block;
      const int64_t visible = std::clamp<int64_t>(seen(p, begin + r) - key, 0, n);
      float factor = 1;
      if (visible > 0)
        factor =
            table.weights(s, mask_row(p, table, b, h, begin + r, key, visible, s, row), p.scale, visible, &running[r]);
      std::fill(s + visible, s + n, 0.f);
      if (key > 0 && factor != 1) table.multiply(y + r * p.y_strides.row, factor, p.v_size);
    }

    block.a = score_rows;
    block.depth = n;
    block.b = v + key * kPanel;
    block.b_stride = p.keys * kPanel;
    block.col1 = p.v_size;
    block.c = y;
    block.ldc = p.y_strides.row;
    block.accumulate = key > 0;
    run_block(block);
  }
  for (int64_t r = 0; r < count; ++r) {
    float* out = y + r * p.y_strides.row;
    if (last == 0) std::fill(out, out + p.v_size, 0.f);
    finish(p, table, running[r], out);
  }
}

}  // namespace

size_t attention_workspace(const Attention& p, int threads) {
  const Plan plan = make_plan(p, threads);
  return size_t((plan.k_floats + plan.v_floats) * plan.copies + plan.scratch_floats * threads) * sizeof(float);
}

void run_attention(const Attention& p, void* workspace, ThreadPool& pool, Isa isa) {
  if (p.batch <= 0 || p.heads <= 0 || p.queries <= 0 || p.v_size <= 0) return;
  const AttentionTable& table = attention_table(isa);
  const Plan plan = make_plan(p, pool.threads());
  float* const packed = static_cast<float*>(workspace);
  float* const scratch = packed + (plan.k_floats + plan.v_floats) * plan.copies;
  if (plan.direct) {
    const int64_t work = p.queries * p.keys * (p.size + p.v_size);
    pool.parallel_ranges(p.batch * p.heads, ceil_div(16384, std::max<int64_t>(work, 1)),
                         [&](int64_t from, int64_t to, int worker) {
                           for (int64_t i = from; i < to; ++i)
                             few_queries(p, table, i / p.heads, i % p.heads, scratch + worker * plan.scratch_floats);
                         });
    return;
  }

  const int64_t group = p.heads / p.kv_heads, blocks = ceil_div(p.queries, plan.query_block);
  auto k_of = [&](int64_t copy) { return packed + copy * (plan.k_floats + plan.v_floats); };
  auto v_of = [&](int64_t copy) { return k_of(copy) + plan.k_floats; };
  auto run = [&](int64_t b, int64_t h, int64_t i, int64_t copy, int worker) {
    const int64_t begin = i * plan.query_block;
    query_block(p, plan, table, isa, b, h, begin, std::min(p.queries, begin + plan.query_block), k_of(copy), v_of(copy),
                scratch + worker * plan.scratch_floats);
  };
  if (plan.per_worker) {
    pool.parallel_for(p.batch * p.kv_heads, [&](int64_t task, int worker) {
      const int64_t b = task / p.kv_heads, kv = task % p.kv_heads;
      pack_keys(p, b, kv, k_of(worker));
      pack_values(p, b, kv, v_of(worker));
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h)
        for (int64_t i = 0; i < blocks; ++i) run(b, h, i, worker, worker);
    });
    return;
  }
  pool.parallel_for(2 * plan.copies, [&](int64_t task) {
    const int64_t copy = task / 2, b = copy / p.kv_heads, kv = copy % p.kv_heads;
    task % 2 == 0 ? pack_keys(p, b, kv, k_of(copy)) : pack_values(p, b, kv, v_of(copy));
  });
  pool.parallel_for(p.batch * p.heads * blocks, [&](int64_t task, int worker) {
    const int64_t head = task / blocks, b = head / p.heads, h = head % p.heads;
    run(b, h, task % blocks, b * p.kv_heads + h / group, worker);
  });
}

}  // namespace carnot::cpu
