// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/transpose/transpose.hpp"

#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/transpose/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(TransposeTable, transpose_table, fill_transpose_table)

namespace {
struct Axis {
  int64_t size, in, out;  // strides in elements
};

// Axes in output order, size-1 axes dropped, merged where both strides allow it.
Result<int> make_axes(const Dims& dims, std::span<const int64_t> perm, Axis* axes) {
  const size_t rank = dims.size();
  if (perm.size() != rank || rank > 64) return invalid("the permutation has {} axes, the tensor {}", perm.size(), rank);
  uint64_t seen = 0;
  for (int64_t p : perm) {
    if (p < 0 || p >= static_cast<int64_t>(rank) || (seen >> p & 1)) return invalid("{} is no permutation", to_string(Dims(perm.begin(), perm.end())));
    seen |= uint64_t{1} << p;
  }
  int count = 0;
  int64_t previous = -2;  // input axis of the last entry's end
  for (size_t i = 0; i < rank; ++i) {
    const int64_t p = perm[i], size = dims[static_cast<size_t>(p)];
    if (size == 1) continue;
    int64_t stride = 1;
    for (size_t k = static_cast<size_t>(p) + 1; k < rank; ++k) stride *= dims[k];
    if (count > 0 && axes[count - 1].in == stride * size && previous < p) {
      axes[count - 1].size *= size;
      axes[count - 1].in = stride;
    } else {
      if (count == kMaxTransposeRank) return invalid("a transpose of more than {} axes", kMaxTransposeRank);
      axes[count++] = {size, stride, 0};
    }
    previous = p;
  }
  int64_t stride = 1;
  for (int i = count - 1; i >= 0; --i) {
    axes[i].out = stride;
    stride *= axes[i].size;
  }
  return count;
}

// Offsets of the i-th combination of these axes.
std::pair<int64_t, int64_t> offsets(const Axis* axes, int count, int64_t i) {
  int64_t in = 0, out = 0;
  for (int k = count - 1; k >= 0; --k) {
    const int64_t index = i % axes[k].size;
    i /= axes[k].size;
    in += index * axes[k].in;
    out += index * axes[k].out;
  }
  return {in, out};
}
}  // namespace

Status run_transpose(const void* in, void* out, const Dims& dims, std::span<const int64_t> perm, size_t element_bytes, ThreadPool& pool, Isa isa) {
  if (element_bytes != 1 && element_bytes != 2 && element_bytes != 4 && element_bytes != 8) return invalid("elements of {} bytes", element_bytes);
  Axis axes[kMaxTransposeRank];
  CARNOT_ASSIGN(int count, make_axes(dims, perm, axes));
  const int64_t total = size_of(dims);
  if (total == 0) return {};
  auto bytes = static_cast<int64_t>(element_bytes);
  const char* from = static_cast<const char*>(in);
  char* to = static_cast<char*>(out);
  if (count <= 1) {
    pool.parallel_ranges(total * bytes, 1 << 16, [&](int64_t begin, int64_t end) { std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin)); });
    return {};
  }
  if (axes[count - 1].in == 1) {
    const int64_t run = axes[count - 1].size;
    // Short runs are elements of a larger type, and the rest a transpose of those.
    const bool whole = run * bytes == 2 || run * bytes == 4 || run * bytes == 8;
    if (!whole) {
      const int64_t runs = total / run;
      pool.parallel_ranges(runs, std::max<int64_t>(1, 32768 / (run * bytes)), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end;) {
          // Along the innermost axis that moves, with plain steps.
          const Axis& inner = axes[count - 2];
          const auto [i, o] = offsets(axes, count - 1, r);
          const int64_t steps = std::min(end - r, inner.size - r % inner.size);
          for (int64_t s = 0; s < steps; ++s)
            std::memcpy(to + (o + s * inner.out) * bytes, from + (i + s * inner.in) * bytes, static_cast<size_t>(run * bytes));
          r += steps;
        }
      });
      return {};
    }
    --count;
    for (int k = 0; k < count; ++k) {
      axes[k].in /= run;
      axes[k].out /= run;
    }
    bytes *= run;
  }
  // rows: the output's last axis. cols: the input's last axis.
  const Axis rows = axes[count - 1];
  int at = 0;
  while (axes[at].in != 1) ++at;
  const Axis cols = axes[at];
  Axis outer[kMaxTransposeRank];
  int outers = 0;
  for (int k = 0; k < count - 1; ++k)
    if (k != at) outer[outers++] = axes[k];
  int64_t batches = 1;
  for (int k = 0; k < outers; ++k) batches *= outer[k].size;
  const TransposeTable& table = transpose_table(isa);
  const TransposeFn fn = bytes == 1 ? table.bytes1 : bytes == 2 ? table.bytes2 : bytes == 4 ? table.bytes4 : table.bytes8;
  // Strips of columns: 64 keep the written lines few; wide matrices with few rows get longer ones.
  const int64_t strip = std::max<int64_t>(64, (8192 / rows.size + 63) / 64 * 64), strips = (cols.size + strip - 1) / strip;
  pool.parallel_ranges(batches * strips, std::max<int64_t>(1, 16384 / (rows.size * std::min(strip, cols.size))), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const auto [i, o] = offsets(outer, outers, t / strips);
      const int64_t j = t % strips * strip;
      fn(from + (i + j) * bytes, rows.in, to + (o + j * cols.out) * bytes, cols.out, rows.size, std::min(strip, cols.size - j));
    }
  });
  return {};
}

}  // namespace carnot::cpu
