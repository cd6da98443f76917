// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/norm/norm.hpp"

#include <algorithm>
#include <cmath>

#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/norm/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(NormTable, norm_table, fill_norm_table)

void run_row_norm(const RowNorm& norm, ThreadPool& pool, Isa isa) {
  if (norm.cols == 0) return;
  const NormTable& table = norm_table(isa);
  pool.parallel_ranges(norm.rows, std::max<int64_t>(1, 8192 / norm.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) table.row(norm, r);
  });
}

namespace {
// One group of one image, channels first: its channels adjoin.
void group_first(const GroupNorm& p, const NormTable& t, int64_t image, int64_t group) {
  const int64_t per_group = p.channels / p.groups, n = per_group * p.pixels;
  const int64_t offset = (image * p.channels + group * per_group) * p.pixels;
  const double mean = t.sum(p.in + offset, n) / static_cast<double>(n);
  const double variance = t.squares(p.in + offset, n, static_cast<float>(mean)) / static_cast<double>(n);
  const double inverse = 1 / std::sqrt(variance + static_cast<double>(p.epsilon));
  for (int64_t c = 0; c < per_group; ++c) {
    const int64_t channel = group * per_group + c;
    const double a = inverse * (p.scale ? p.scale[channel] : 1.f), b = (p.bias ? p.bias[channel] : 0.f) - mean * a;
    const int64_t at = offset + c * p.pixels;
    t.affine(p.in + at, static_cast<float>(a), static_cast<float>(b), p.out + at, p.pixels);
  }
}

// Channels [first, last) of one image, whole groups, channels last. Per-channel sums come first and are then joined per group.
void groups_last(const GroupNorm& p, const NormTable& t, int64_t image, int64_t first, int64_t last) {
  const int64_t per_group = p.channels / p.groups;
  const float* x = p.in + image * p.pixels * p.channels;
  float* y = p.out + image * p.pixels * p.channels;
  double sums[kNormColumns];
  float mean[kNormColumns], a[kNormColumns], b[kNormColumns];
  const double n = static_cast<double>(per_group) * static_cast<double>(p.pixels);
  auto finish = [&](int64_t channel, double m, double variance, float& ca, float& cb) {
    const double k = (p.scale ? p.scale[channel] : 1.f) / std::sqrt(variance + static_cast<double>(p.epsilon));
    ca = static_cast<float>(k);
    cb = static_cast<float>((p.bias ? p.bias[channel] : 0.f) - m * k);
  };
  if (per_group <= kNormColumns) {
    const int64_t width = last - first;
    t.column_sums(x + first, p.pixels, p.channels, width, sums);
    for (int64_t g = 0; g < width; g += per_group) {
      double m = 0;
      for (int64_t c = 0; c < per_group; ++c) m += sums[g + c];
      for (int64_t c = 0; c < per_group; ++c) mean[g + c] = static_cast<float>(m / n);
    }
    t.column_squares(x + first, p.pixels, p.channels, width, mean, sums);
    for (int64_t g = 0; g < width; g += per_group) {
      double v = 0;
      for (int64_t c = 0; c < per_group; ++c) v += sums[g + c];
      for (int64_t c = 0; c < per_group; ++c) finish(first + g + c, mean[g + c], v / n, a[g + c], b[g + c]);
    }
    t.column_affine(x + first, y + first, p.pixels, p.channels, width, a, b);
    return;
  }
  // One large group, 64 channels at a time.
  double total = 0, variance = 0;
  for (int64_t c = first; c < last; c += kNormColumns) {
    const int64_t width = std::min(kNormColumns, last - c);
    t.column_sums(x + c, p.pixels, p.channels, width, sums);
    for (int64_t i = 0; i < width; ++i) total += sums[i];
  }
  std::fill_n(mean, kNormColumns, static_cast<float>(total / n));
  for (int64_t c = first; c < last; c += kNormColumns) {
    const int64_t width = std::min(kNormColumns, last - c);
    t.column_squares(x + c, p.pixels, p.channels, width, mean, sums);
    for (int64_t i = 0; i < width; ++i) variance += sums[i];
  }
  for (int64_t c = first; c < last; c += kNormColumns) {
    const int64_t width = std::min(kNormColumns, last - c);
    for (int64_t i = 0; i < width; ++i) finish(c + i, total / n, variance / n, a[i], b[i]);
    t.column_affine(x + c, y + c, p.pixels, p.channels, width, a, b);
  }
}
}  // namespace

void run_l2_norm(const float* in, float* out, int64_t outer, int64_t axis, int64_t inner, float epsilon, ThreadPool& pool, Isa isa) {
  if (outer == 0 || axis == 0 || inner == 0) return;
  const NormTable& t = norm_table(isa);
  auto factor = [&](double squares) {
    const double norm = std::fmax(std::sqrt(squares), static_cast<double>(epsilon));
    // A sum that is no number must stay one.
    return std::isnan(squares) ? std::nanf("") : norm == 0 ? 0.f : static_cast<float>(1 / norm);
  };
  if (inner == 1) {
    pool.parallel_ranges(outer, std::max<int64_t>(1, 8192 / axis), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) t.affine(in + r * axis, factor(t.squares(in + r * axis, axis, 0)), 0, out + r * axis, axis);
    });
    return;
  }
  const int64_t blocks = (inner + kNormColumns - 1) / kNormColumns;
  pool.parallel_ranges(outer * blocks, std::max<int64_t>(1, 8192 / (axis * kNormColumns)), [&](int64_t begin, int64_t end) {
    const float zeros[kNormColumns] = {};
    double sums[kNormColumns];
    float factors[kNormColumns];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = i % blocks * kNormColumns, offset = i / blocks * axis * inner + column;
      const int64_t width = std::min(kNormColumns, inner - column);
      t.column_squares(in + offset, axis, inner, width, zeros, sums);
      for (int64_t c = 0; c < width; ++c) factors[c] = factor(sums[c]);
      t.column_affine(in + offset, out + offset, axis, inner, width, factors, zeros);
    }
  });
}

void run_group_norm(const GroupNorm& p, ThreadPool& pool, Isa isa) {
  if (p.batch == 0 || p.channels == 0 || p.pixels == 0) return;
  const NormTable& table = norm_table(isa);
  const int64_t per_group = p.channels / p.groups;
  if (!p.channels_last) {
    pool.parallel_ranges(p.batch * p.groups, std::max<int64_t>(1, 8192 / (per_group * p.pixels)), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) group_first(p, table, t / p.groups, t % p.groups);
    });
    return;
  }
  // Blocks of whole groups, up to 64 channels wide unless one group is wider.
  const int64_t block = per_group > kNormColumns ? per_group : kNormColumns / per_group * per_group;
  const int64_t blocks = (p.channels + block - 1) / block;
  pool.parallel_for(p.batch * blocks, [&](int64_t t) {
    const int64_t first = t % blocks * block;
    groups_last(p, table, t / blocks, first, std::min(first + block, p.channels));
  });
}

}  // namespace carnot::cpu
