// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/gemm.hpp"

#include <atomic>

#include "backends/cpu/kernels/gemm/pack.hpp"
#include "base/threads.hpp"
#include "reference.hpp"

namespace carnot::cpu::testing {
namespace {

constexpr float kUntouched = -12345.f;

// Every row of kernels.inc, with every number of rows and columns that it may be given.
TEST(GemmKernels, EveryTile) {
  for (auto [kernel, end] = gemm_kernels(); kernel != end; ++kernel) {
    if (kernel->isa > cpu_features().isa) continue;
    SCOPED_TRACE(kernel->name);
    const int64_t depth = 5, lda = 7, taps = 2, offset = 1;
    const auto a = random_floats(taps * kernel->rows * lda, 1);
    const auto b = random_floats(packed_size(taps * (depth + offset), kernel->panels * 16), 2);
    const auto bias = random_floats(kernel->panels * 16, 3);
    const auto residual = random_floats(kernel->rows * 80, 4);
    std::vector<const float*> pointers;
    for (int64_t r = 0; r < taps * kernel->rows; ++r) pointers.push_back(a.data() + r * lda);
    const int64_t b_offsets[] = {0, (depth + offset) * 16};
    for (int rows = 1; rows <= kernel->rows; ++rows)
      for (int cols = 1; cols <= kernel->panels * 16; cols += cols % 16 == 0 || cols % 16 == 15 ? 1 : 7) {
        const int64_t ldc = kernel->panels * 16 + 3;
        for (int mode = 0; mode < 3; ++mode) {
          std::vector<float> c(size_t((kernel->rows + 1) * ldc), kUntouched);
          if (mode == 2)
            for (int r = 0; r < rows; ++r) std::fill_n(c.data() + r * ldc, cols, 0.5f);
          Tile t{.a = pointers.data(),
                 .a_stride = kernel->rows,
                 .a_offset = offset,
                 .b = b.data() + offset * 16,
                 .b_offsets = b_offsets,
                 .b_stride = taps * (depth + offset) * 16,
                 .taps = taps,
                 .depth = depth,
                 .prefetch = b.data(),
                 .prefetch_step = 64,
                 .c = c.data(),
                 .ldc = ldc,
                 .rows = rows,
                 .cols = cols};
          if (mode == 1) {
            t.bias = bias.data();
            t.residual = residual.data();
            t.ld_residual = 80;
            t.activation = Activation::kRelu;
          }
          t.accumulate = mode == 2;
          t.last = mode != 2;
          kernel->run(t);
          for (int r = 0; r <= rows; ++r)
            for (int j = 0; j < ldc; ++j) {
              const float got = c[size_t(r * ldc + j)];
              if (r == rows || j >= cols) {
                ASSERT_EQ(got, kUntouched) << "wrote outside: row " << r << ", column " << j << ", cols " << cols;
                continue;
              }
              Sum sum;
              for (int64_t tap = 0; tap < taps; ++tap)
                for (int64_t k = 0; k < depth; ++k)
                  sum.add(pointers[size_t(tap * kernel->rows + r)][offset + k],
                          b[size_t(offset * 16 + j / 16 * t.b_stride + b_offsets[tap] + k * 16 + j % 16)]);
              if (mode == 1) sum.add(bias[size_t(j)], 1), sum.add(residual[size_t(r * 80 + j)], 1);
              if (mode == 2) sum.add(0.5, 1);
              const double want = mode == 1 ? std::max(0., sum.value) : sum.value;
              ASSERT_NEAR(got, want, sum.bound())
                  << "rows " << rows << ", cols " << cols << ", mode " << mode << ", at " << r << "," << j;
            }
        }
      }
  }
}

struct Case {
  int64_t m, n, k;
  int64_t pad_a = 0, pad_c = 0;  // extra elements a row
  bool transposed = false;       // B given as [n, k]
  bool bias = false, residual = false, after = false;
  Activation activation = Activation::kNone;
};

// The finished blocks must cover the output once, and hold final values when they are handed over.
struct Coverage {
  std::vector<std::atomic<int>> seen;
  const float* c;
  ptrdiff_t ldc;
  int64_t n;
  std::atomic<int> wrong{0};
  Coverage(int64_t m, int64_t n, const float* c, ptrdiff_t ldc) : seen(size_t(m * n)), c(c), ldc(ldc), n(n) {}
  static void note(void* ctx, float* block, ptrdiff_t ld, int64_t row0, int64_t rows, int64_t col0, int64_t cols) {
    auto& self = *static_cast<Coverage*>(ctx);
    if (ld != self.ldc || block != self.c + row0 * ld + col0) self.wrong.fetch_add(1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < cols; ++j) self.seen[size_t((row0 + r) * self.n + col0 + j)].fetch_add(1);
  }
};

void check(const Case& t, Isa isa, ThreadPool& pool, std::vector<float>* result = nullptr) {
  SCOPED_TRACE(::testing::Message() << isa_name(isa) << ", threads " << pool.threads() << ", " << t.m << "x" << t.n
                                    << "x" << t.k << ", activation " << int(t.activation));
  const int64_t lda = t.k + t.pad_a, ldc = t.n + t.pad_c;
  const auto a = random_floats(t.m * lda + 1, 1), b = random_floats(t.k * t.n + 1, 2), bias = random_floats(t.n + 1, 3);
  const auto residual = random_floats(t.m * (t.n + 5) + 1, 4);
  std::vector<float> packed(size_t(packed_size(t.k, t.n)) + 1, NAN);
  if (t.transposed)
    pack_nk(b.data(), t.k, t.n, t.k, packed.data());
  else
    pack_kn(b.data(), t.k, t.n, t.n, packed.data());
  std::vector<float> c(size_t(t.m * ldc) + 1, kUntouched);
  Coverage coverage(t.m, t.n, c.data(), ldc);
  Gemm g{.m = t.m, .n = t.n, .k = t.k, .a = a.data(), .lda = lda, .b = packed.data(), .c = c.data(), .ldc = ldc};
  const float alpha = t.activation == Activation::kClip ? -0.25f : 1.f / 6, beta = 0.5f;
  g.epilogue = {.bias = t.bias ? bias.data() : nullptr,
                .residual = t.residual ? residual.data() : nullptr,
                .ld_residual = t.n + 5,
                .residual_after = t.after,
                .activation = t.activation,
                .alpha = alpha,
                .beta = beta,
                .post = Coverage::note,
                .post_ctx = &coverage};
  run_gemm(g, pool, isa);
  EXPECT_EQ(coverage.wrong.load(), 0);
  for (auto& s : coverage.seen) ASSERT_EQ(s.load(), 1);
  for (int64_t r = 0; r < t.m; ++r)
    for (int64_t j = 0; j < ldc; ++j) {
      const float got = c[size_t(r * ldc + j)];
      if (j >= t.n) {
        ASSERT_EQ(got, kUntouched) << "wrote into the gap after row " << r;
        continue;
      }
      Sum sum;
      for (int64_t k = 0; k < t.k; ++k)
        sum.add(a[size_t(r * lda + k)], b[size_t(t.transposed ? j * t.k + k : k * t.n + j)]);
      if (t.bias) sum.add(bias[size_t(j)], 1);
      const double extra = t.residual ? residual[size_t(r * (t.n + 5) + j)] : 0;
      if (!t.after) sum.add(extra, 1);
      double want = activate_reference(t.activation, sum.value, alpha, beta);
      if (t.after) want += extra;
      ASSERT_NEAR(got, want, sum.bound() + 3e-7) << "at " << r << "," << j;
    }
  if (result) *result = c;
}

TEST(Gemm, Shapes) {
  ThreadPool one(1), two(2), five(5);
  for (Isa isa : isas())
    for (ThreadPool* pool : {&one, &two, &five})
      for (Case t : {Case{0, 5, 3}, Case{5, 0, 3}, Case{3, 5, 0, 0, 0, false, true}, Case{1, 1, 1}, Case{1, 17, 33},
                     Case{1, 1000, 64, 0, 0, true, true}, Case{2, 64, 7}, Case{6, 64, 16}, Case{7, 31, 13, 2, 3},
                     Case{13, 48, 129, 1, 0, true}, Case{49, 80, 257, 0, 5}, Case{97, 113, 61, 3, 3, true, true},
                     Case{29, 96, 2500, 0, 0, true}, Case{530, 37, 19, 0, 0, false, true, true},
                     Case{128, 144, 70, 5, 7, false, true, true}})
        check(t, isa, *pool);
}

TEST(Gemm, Activations) {
  ThreadPool pool(2);
  for (Isa isa : isas())
    for (Activation activation : kAllActivations)
      for (bool residual : {false, true})
        for (bool after : {false, true}) check({23, 53, 40, 1, 2, false, true, residual, after, activation}, isa, pool);
}

// The order of summation is part of the contract: not a bit may depend on the partition.
TEST(Gemm, SameBitsForAnyNumberOfThreads) {
  for (Isa isa : isas())
    for (Case t : {Case{37, 130, 1500, 0, 0, false, true}, Case{5, 256, 1100}}) {
      std::vector<float> want;
      ThreadPool one(1);
      check(t, isa, one, &want);
      for (int threads : {2, 3, 8}) {
        ThreadPool pool(threads);
        std::vector<float> got;
        check(t, isa, pool, &got);
        ASSERT_EQ(got, want) << isa_name(isa) << ", threads " << threads;
      }
    }
}

TEST(Gemm, ResidualMayBeTheOutput) {
  ThreadPool pool(2);
  for (Isa isa : isas()) {
    const int64_t m = 33, n = 40, k = 1200;
    const auto a = random_floats(m * k, 1), b = random_floats(k * n, 2), before = random_floats(m * n, 3);
    std::vector<float> packed(size_t(packed_size(k, n))), apart(size_t(m * n)), c = before;
    pack_kn(b.data(), k, n, n, packed.data());
    Gemm g{.m = m, .n = n, .k = k, .a = a.data(), .lda = k, .b = packed.data(), .c = apart.data(), .ldc = n};
    g.epilogue.residual = before.data();
    g.epilogue.ld_residual = n;
    run_gemm(g, pool, isa);
    g.c = c.data();
    g.epilogue.residual = c.data();
    run_gemm(g, pool, isa);
    EXPECT_EQ(c, apart);
  }
}

struct BatchCase {
  int64_t b0, b1, m, n, k;
  bool a_transposed = false, b_transposed = false;
  bool a_broadcast = false, b_broadcast = false;  // over b0
  float scale = 1;
};

TEST(Matmul, BatchesAndLayouts) {
  ThreadPool one(1), two(2), five(5);
  for (Isa isa : isas())
    for (ThreadPool* pool : {&one, &two, &five})
      for (BatchCase t :
           {BatchCase{1, 1, 7, 9, 5}, BatchCase{2, 3, 17, 32, 20}, BatchCase{2, 3, 5, 33, 20, false, true},
            BatchCase{1, 12, 40, 40, 64, false, true, false, false, 0.125f}, BatchCase{3, 1, 20, 48, 31, true},
            BatchCase{3, 2, 20, 48, 31, true, true, true}, BatchCase{4, 1, 9, 16, 8, false, false, false, true},
            BatchCase{2, 2, 1, 64, 50}, BatchCase{2, 0, 4, 4, 4}, BatchCase{1, 2, 3, 4, 0},
            BatchCase{1, 3, 300, 20, 12, false, true}, BatchCase{2, 2, 3, 17, 6, false, false, false, false, 2}}) {
        SCOPED_TRACE(::testing::Message() << isa_name(isa) << ", threads " << pool->threads() << ", " << t.b0 << ","
                                          << t.b1 << " x " << t.m << "x" << t.n << "x" << t.k);
        const auto a = random_floats(t.b0 * t.b1 * t.m * t.k + 1, 1), b = random_floats(t.b0 * t.b1 * t.n * t.k + 1, 2);
        const auto bias = random_floats(t.n, 3);
        std::vector<float> c(size_t(t.b0 * t.b1 * t.m * (t.n + 1)) + 1, kUntouched);
        BatchedMatmul p{.m = t.m, .n = t.n, .k = t.k};
        p.batch[1] = t.b0;
        p.batch[2] = t.b1;
        p.a = a.data();
        p.a_row = t.a_transposed ? 1 : t.k;
        p.a_col = t.a_transposed ? t.m : 1;
        p.a_batch[1] = t.a_broadcast ? 0 : t.b1 * t.m * t.k;
        p.a_batch[2] = t.m * t.k;
        p.b = b.data();
        p.b_row = t.b_transposed ? 1 : t.n;
        p.b_col = t.b_transposed ? t.k : 1;
        p.b_batch[1] = t.b_broadcast ? 0 : t.b1 * t.n * t.k;
        p.b_batch[2] = t.b_broadcast && t.b1 == 1 ? 0 : t.n * t.k;
        p.c = c.data();
        p.c_row = t.n + 1;
        p.c_batch[1] = t.b1 * t.m * (t.n + 1);
        p.c_batch[2] = t.m * (t.n + 1);
        p.scale = t.scale;
        p.epilogue.bias = bias.data();
        p.epilogue.activation = Activation::kRelu;
        std::vector<char> workspace(matmul_workspace(p, pool->threads()) + 1, 1);
        run_matmul(p, workspace.data(), *pool, isa);
        EXPECT_EQ(workspace.back(), 1);
        for (int64_t i = 0; i < t.b0; ++i)
          for (int64_t j = 0; j < t.b1; ++j)
            for (int64_t r = 0; r < t.m; ++r)
              for (int64_t s = 0; s <= t.n; ++s) {
                const float got = c[size_t(i * p.c_batch[1] + j * p.c_batch[2] + r * p.c_row + s)];
                if (s == t.n) {
                  ASSERT_EQ(got, kUntouched);
                  continue;
                }
                Sum sum;
                for (int64_t k = 0; k < t.k; ++k)
                  sum.add(a[size_t(i * p.a_batch[1] + j * p.a_batch[2] + r * p.a_row + k * p.a_col)],
                          double(t.scale) * b[size_t(i * p.b_batch[1] + j * p.b_batch[2] + k * p.b_row + s * p.b_col)]);
                sum.add(bias[size_t(s)], 1);
                ASSERT_NEAR(got, std::max(0., sum.value), sum.bound()) << i << "," << j << "," << r << "," << s;
              }
      }
}

}  // namespace
}  // namespace carnot::cpu::testing
