// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/recurrent/recurrent.hpp"

#include <algorithm>

#include "backends/cpu/kernels/gemm/gemm.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/recurrent/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(RecurrentTable, recurrent_table, fill_recurrent_table)

namespace {
// Scratch of one direction, in floats, each part rounded to a cache line.
struct Scratch {
  int64_t sums, step, state, total;
  explicit Scratch(const Recurrent& p) {
    auto round = [](int64_t n) { return (n + 15) / 16 * 16; };
    const int64_t columns = p.gates() * p.hidden;
    sums = round(p.time * p.batch * columns);  // products with x of all steps
    step = p.lstm ? 0 : round(p.batch * columns);
    state = round(p.batch * p.hidden);
    total = sums + step + 2 * state;  // and the first h (the running one with lengths) and the running c
  }
};

void run_direction(const Recurrent& p, int64_t d, float* scratch, const RecurrentTable& table, ThreadPool& pool, Isa isa) {
  const Scratch layout(p);
  const int64_t n = p.hidden, columns = p.gates() * n, rows = p.batch * n;
  float *sums = scratch, *step = sums + layout.sums, *first = step + layout.step, *c = first + layout.state;
  auto begin = [&](const float* from, float* to) {
    if (from)
      std::copy_n(from + d * rows, rows, to);
    else
      std::fill_n(to, rows, 0.f);
  };
  begin(p.initial_h, first);
  begin(p.initial_c, c);
  const float* before = first;
  const bool backwards = d == 1 || p.reverse;
  for (int64_t k = 0; k < p.time; ++k) {
    const int64_t t = backwards ? p.time - 1 - k : k;
    float *gates = sums + t * p.batch * columns, *h = p.y + (t * p.directions + d) * rows;
    Gemm g;
    g.m = p.batch;
    g.n = columns;
    g.k = n;
    g.a = before;
    g.lda = n;
    g.b = p.r + d * packed_size(n, columns);
    g.c = p.lstm ? gates : step;
    g.ldc = columns;
    if (p.lstm) {
      g.epilogue.residual = gates;
      g.epilogue.ld_residual = columns;
    } else if (p.r_bias) {
      g.epilogue.bias = p.r_bias + d * columns;
    }
    run_gemm(g, pool, isa);
    for (int64_t b = 0; b < p.batch; ++b) {
      if (p.lengths && t >= p.lengths[b]) {
        std::fill_n(h + b * n, n, 0.f);
        continue;
      }
      if (p.lstm)
        table.lstm(gates + b * columns, c + b * n, h + b * n, n);
      else
        table.gru(gates + b * columns, step + b * columns, before + b * n, h + b * n, n);
      // The state of a sequence that has ended stays, so it lives apart from y.
      if (p.lengths) std::copy_n(h + b * n, n, first + b * n);
    }
    if (!p.lengths) before = h;
  }
  if (p.last_h) std::copy_n(before, rows, p.last_h + d * rows);
  if (p.last_c) std::copy_n(c, rows, p.last_c + d * rows);
}
}  // namespace

int64_t recurrent_workspace(const Recurrent& problem) { return problem.directions * Scratch(problem).total; }

void run_recurrent(const Recurrent& p, float* workspace, ThreadPool& pool, Isa isa) {
  const RecurrentTable& table = recurrent_table(isa);
  const int64_t columns = p.gates() * p.hidden, each = Scratch(p).total;
  for (int64_t d = 0; d < p.directions; ++d) {
    Gemm g;
    g.m = p.time * p.batch;
    g.n = columns;
    g.k = p.input;
    g.a = p.x;
    g.lda = p.input;
    g.b = p.w + d * packed_size(p.input, columns);
    g.c = workspace + d * each;
    g.ldc = columns;
    if (p.w_bias) g.epilogue.bias = p.w_bias + d * columns;
    run_gemm(g, pool, isa);
  }
  // One direction shares each step's product among the threads; two directions take a thread each.
  pool.parallel_for(p.directions, [&](int64_t d) { run_direction(p, d, workspace + d * each, table, pool, isa); });
}

}  // namespace carnot::cpu
