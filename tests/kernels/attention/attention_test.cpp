// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/attention/attention.hpp"

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

using Strides = Attention::Strides;

Strides by_heads(int64_t heads, int64_t rows, int64_t cols) { return {heads * rows * cols, rows * cols, cols, 1}; }
Strides by_rows(int64_t heads, int64_t rows, int64_t cols) { return {rows * heads * cols, cols, heads * cols, 1}; }
Strides columns_first(int64_t heads, int64_t rows, int64_t cols) { return {heads * rows * cols, rows * cols, 1, rows}; }

int64_t at(const Strides& s, int64_t b, int64_t h, int64_t r, int64_t c) {
  return b * s.batch + h * s.head + r * s.row + c * s.col;
}

// In double, the whole row of scores at once.
std::vector<double> reference(const Attention& p, size_t size) {
  std::vector<double> y(size, 5.0);
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t h = 0; h < p.heads; ++h)
      for (int64_t i = 0; i < p.queries; ++i) {
        const int64_t kv = h / (p.heads / p.kv_heads);
        std::vector<double> s;
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < p.keys; ++j) {
          double t = 0;
          for (int64_t d = 0; d < p.size; ++d)
            t += double(p.q[at(p.q_strides, b, h, i, d)]) * double(p.k[at(p.k_strides, b, kv, j, d)]);
          t *= double(p.scale);
          const int64_t m = at(p.mask_strides, b % p.mask_batches, h, i, j);
          if (p.mask) t += double(p.mask[m]);
          if (p.keep && !p.keep[m]) t = p.fill;
          if (p.causal && j > i + p.offset) t = -INFINITY;
          s.push_back(t);
          top = std::max(top, t);
        }
        for (double& t : s) sum += t = std::exp(t - top);
        for (int64_t d = 0; d < p.v_size; ++d) {
          double t = 0;
          for (int64_t j = 0; j < p.keys; ++j)
            t += s[static_cast<size_t>(j)] / sum * double(p.v[at(p.v_strides, b, kv, j, d)]);
          y[static_cast<size_t>(at(p.y_strides, b, h, i, d))] = p.zero_nan && std::isnan(t) ? 0 : t;
        }
      }
  return y;
}

void check(Attention p, size_t size, const std::string& what, double tolerance = 3e-6) {
  const std::vector<double> want = reference(p, size);
  for (Isa isa : isas())
    for (int threads : {1, 2, 3}) {
      ThreadPool local(threads);
      std::vector<float> y(size, 5.f);
      // What lies in the scratch before must not matter.
      std::vector<float> scratch(attention_workspace(p, threads) / sizeof(float) + 1, NAN);
      const float guard = scratch.back() = 123.f;
      p.y = y.data();
      run_attention(p, scratch.data(), local, isa);
      expect_near(y, want, tolerance, fmt::format("{} {} {} threads", what, isa_name(isa), threads));
      ASSERT_EQ(scratch.back(), guard) << what;
    }
}

// Operands of sizes p.batch ... p.v_size, which stay alive as long as this.
struct Operands {
  explicit Operands(Attention& p)
      : q(uniform(p.batch * p.heads * p.queries * p.size, -2, 2, 1)),
        k(uniform(p.batch * p.kv_heads * p.keys * p.size, -2, 2, 2)),
        v(uniform(p.batch * p.kv_heads * p.keys * p.v_size, -1, 1, 3)) {
    p.q = q.data(), p.k = k.data(), p.v = v.data();
  }
  std::vector<float> q, k, v;
};

// `heads` heads for queries, keys and values alike.
Attention sizes(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t size, int64_t v_size) {
  return {.batch = batch,
          .heads = heads,
          .kv_heads = heads,
          .queries = queries,
          .keys = keys,
          .size = size,
          .v_size = v_size};
}

TEST(AttentionKernels, Shapes) {
  for (int64_t queries : {1, 3, 5, 49, 130})
    for (int64_t keys : {1, 15, 49, 530})
      for (auto [size, v_size] : {std::pair<int64_t, int64_t>{32, 32}, {36, 36}, {7, 19}, {64, 80}, {1, 1}}) {
        const int64_t batch = 2, heads = 3;
        Attention p = sizes(batch, heads, queries, keys, size, v_size);
        const Operands operands(p);
        p.q_strides = by_rows(heads, queries, size);
        p.k_strides = by_rows(heads, keys, size);
        p.v_strides = by_rows(heads, keys, v_size);
        p.y_strides = by_rows(heads, queries, v_size);
        p.scale = 0.1f;
        check(p, static_cast<size_t>(batch * heads * queries * v_size),
              fmt::format("{}x{} {} {}", queries, keys, size, v_size));
      }
}

TEST(AttentionKernels, BlocksOfAnySize) {
  for (const auto& [queries, keys] : {std::pair<int64_t, int64_t>{37, 90}, {130, 530}})
    for (const auto& [query_block, key_block] : {std::pair<int64_t, int64_t>{1, 0}, {0, 1}, {20, 33}, {64, 256}, {int64_t{1} << 40, int64_t{1} << 40}}) {
      Attention p = sizes(1, 3, queries, keys, 24, 40);
      const Operands operands(p);
      p.q_strides = by_rows(3, queries, 24);
      p.k_strides = by_rows(3, keys, 24);
      p.v_strides = by_rows(3, keys, 40);
      p.y_strides = by_rows(3, queries, 40);
      p.scale = 0.1f;
      p.query_block = query_block;
      p.key_block = key_block;
      check(p, static_cast<size_t>(3 * queries * 40), fmt::format("blocks of {} queries and {} keys", query_block, key_block));
    }
}

TEST(AttentionKernels, Strides) {
  const int64_t batch = 3, heads = 4, queries = 21, keys = 35, size = 20;
  using Make = Strides (*)(int64_t, int64_t, int64_t);
  for (int64_t kv_heads : {1, 2, 4})
    for (int64_t rows : {int64_t{2}, queries})
      for (Make make_q : {by_heads, by_rows, columns_first})
        for (Make make_k : {by_heads, by_rows, columns_first})
          for (Make make_v : {by_heads, columns_first}) {
            Attention p = sizes(batch, heads, rows, keys, size, size);
            p.kv_heads = kv_heads;
            const Operands operands(p);
            p.q_strides = make_q(heads, rows, size);
            p.k_strides = make_k(kv_heads, keys, size);
            p.v_strides = make_v(kv_heads, keys, size);
            p.y_strides = by_heads(heads, rows, size);
            p.v_strides.batch = 0;
            check(p, static_cast<size_t>(batch * heads * rows * size), fmt::format("{} key heads", kv_heads));
          }
}

TEST(AttentionKernels, Masks) {
  const int64_t batch = 4, heads = 2, keys = 600, size = 16;
  for (int64_t queries : {2, 37}) {
    auto added = uniform(2 * heads * queries * keys, -3, 3, 4);
    std::vector<uint8_t> keep(added.size());
    for (size_t i = 0; i < added.size(); ++i) {
      // Whole blocks of keys are hidden, one query sees nothing, others by a large number.
      const size_t j = i % 600, row = i / 600;
      if (j < 300 && row % 2 == 0) added[i] = -INFINITY;
      if (row == 3) added[i] = -INFINITY;
      if (row == 4 && j != 17) added[i] = -3.4028235e38f;
      keep[i] = added[i] > -1e30f && j % 3 != 0;
    }
    Attention p = sizes(batch, heads, queries, keys, size, size);
    const Operands operands(p);
    p.q_strides = by_heads(heads, queries, size);
    p.k_strides = p.v_strides = by_heads(heads, keys, size);
    p.y_strides = by_rows(heads, queries, size);
    const auto y_size = static_cast<size_t>(batch * heads * queries * size);
    for (bool zero_nan : {false, true})
      for (bool bytes : {false, true})
        for (float fill : {-INFINITY, -1e4f}) {
          p.zero_nan = zero_nan;
          p.mask = bytes ? nullptr : added.data();
          p.keep = bytes ? keep.data() : nullptr;
          p.fill = fill;
          p.mask_batches = 2;
          p.mask_strides = by_heads(heads, queries, keys);
          check(p, y_size, "whole");
          p.mask_batches = 1;
          p.mask_strides.batch = 0;
          p.mask_strides.head = 0;
          check(p, y_size, "by queries and keys");
          p.mask_strides.row = 0;
          check(p, y_size, "by keys");
          p.mask_strides = {0, 0, keys, 0};
          check(p, y_size, "by queries");
        }
  }
}

TEST(AttentionKernels, Causal) {
  const int64_t heads = 2, size = 24;
  for (int64_t queries : {1, 4, 50, 300})
    for (int64_t keys : {1, 50, 300, 700})
      for (int64_t offset : {int64_t{0}, keys - queries}) {
        Attention p = sizes(1, heads, queries, keys, size, size);
        const Operands operands(p);
        p.q_strides = by_rows(heads, queries, size);
        p.k_strides = p.v_strides = by_rows(heads, keys, size);
        p.y_strides = by_rows(heads, queries, size);
        p.causal = true;
        p.offset = offset;
        check(p, static_cast<size_t>(heads * queries * size), fmt::format("{} of {}", queries, keys));
      }
}

TEST(AttentionKernels, LargeScores) {
  // The top score comes in the last block, far above the others.
  const int64_t keys = 600, queries = 20, size = 8;
  const auto q = uniform(queries * size, 1, 2, 1), v = uniform(keys * size, -1, 1, 3);
  auto k = uniform(keys * size, -1, 1, 2);
  for (int64_t i = 0; i < size; ++i) k[static_cast<size_t>((keys - 1) * size + i)] = 300;
  Attention p{.batch = 1,
              .heads = 1,
              .kv_heads = 1,
              .queries = queries,
              .keys = keys,
              .size = size,
              .v_size = size,
              .q = q.data(),
              .k = k.data(),
              .v = v.data()};
  p.q_strides = by_heads(1, queries, size);
  p.k_strides = p.v_strides = by_heads(1, keys, size);
  p.y_strides = by_heads(1, queries, size);
  check(p, static_cast<size_t>(queries * size), "large");
}

TEST(AttentionKernels, Empty) {
  const std::vector<float> x(64, 1.f);
  for (int64_t queries : {0, 1, 9})
    for (int64_t keys : {0, 2})
      for (int64_t size : {0, 2}) {
        Attention p{.batch = 1,
                    .heads = 1,
                    .kv_heads = 1,
                    .queries = queries,
                    .keys = keys,
                    .size = size,
                    .v_size = 2,
                    .q = x.data(),
                    .k = x.data(),
                    .v = x.data()};
        p.q_strides = by_heads(1, queries, size);
        p.k_strides = by_heads(1, keys, size);
        p.v_strides = by_heads(1, keys, 2);
        p.y_strides = by_heads(1, queries, 2);
        check(p, static_cast<size_t>(queries * 2), fmt::format("{} {} {}", queries, keys, size));
        p.batch = 0;
        check(p, static_cast<size_t>(queries * 2), "no batch");
      }
}

}  // namespace
}  // namespace carnot::cpu::testing
