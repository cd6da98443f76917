// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/pool/pool.hpp"

#include <algorithm>

#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/pool/contract.hpp"
#include "backends/cpu/kernels/reduce/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(PoolTable, pool_table, fill_pool_table)

namespace {
// Taps of output position o along one axis.
struct Span {
  int64_t first = 0;    // input position of the first tap that lies in the input
  int64_t inside = 0;   // taps in the input
  int64_t counted = 0;  // taps in the input or its padding
};
Span taps_of(const Pool& p, int axis, int64_t o) {
  const int64_t start = o * p.stride[axis] - p.pad[axis], d = p.dilation[axis], k = p.kernel[axis], size = p.in_size[axis];
  // Smallest and one past the largest tap that lies below `limit` and from 0 on.
  auto below = [&](int64_t limit) { return limit <= start ? int64_t{0} : std::min(k, (limit - start + d - 1) / d); };
  const int64_t skip = below(0), end = below(size);
  return {start + skip * d, std::max<int64_t>(0, end - skip), below(size + p.pad_end[axis])};
}
}  // namespace

Status run_pool(const Pool& p, ThreadPool& threads, Isa isa) {
  for (int a = 0; a < 3; ++a)
    if (p.in_size[a] < 0 || p.out_size[a] < 0 || p.kernel[a] <= 0 || p.stride[a] <= 0 || p.dilation[a] <= 0 || p.pad[a] < 0 || p.pad_end[a] < 0)
      return invalid("a pool with a negative size, or a kernel, stride or dilation that is not positive");
  if (p.batch < 0 || p.channels < 0 || p.ld_in < p.channels || p.ld_out < p.channels) return invalid("a pool with a wrong number of channels");
  const PoolTable& table = pool_table(isa);
  const int64_t rows = p.out_size[0] * p.out_size[1], width = p.out_size[2];
  const int64_t image = p.in_size[0] * p.in_size[1] * p.in_size[2] * p.ld_in;
  const int64_t work = std::max<int64_t>(1, width * p.channels * p.kernel[0] * p.kernel[1] * p.kernel[2]);
  threads.parallel_ranges(p.batch * rows, std::max<int64_t>(1, 16384 / work), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const Span z = taps_of(p, 0, t % rows / p.out_size[1]), y = taps_of(p, 1, t % p.out_size[1]);
      PoolWindow window;
      window.step[0] = p.dilation[0] * p.in_size[1] * p.in_size[2] * p.ld_in;
      window.step[1] = p.dilation[1] * p.in_size[2] * p.ld_in;
      window.step[2] = p.dilation[2] * p.ld_in;
      const float* plane = p.in + t / rows * image + (z.first * p.in_size[1] + y.first) * p.in_size[2] * p.ld_in;
      for (int64_t o = 0; o < width; ++o) {
        const Span x = taps_of(p, 2, o);
        const int64_t inside = z.inside * y.inside * x.inside;
        window.first = inside > 0 ? plane + x.first * p.ld_in : p.in;
        window.count[0] = inside > 0 ? z.inside : 0;
        window.count[1] = y.inside;
        window.count[2] = x.inside;
        float* out = p.out + (t * width + o) * p.ld_out;
        if (p.kind == PoolKind::kMax) {
          table.max(window, p.channels, out);
        } else {
          const int64_t n = p.count_include_pad ? z.counted * y.counted * x.counted : inside;
          table.sum(window, p.channels, n > 0 ? 1.f / static_cast<float>(n) : 0.f, out);
        }
      }
    }
  });
  return {};
}

void run_global_pool(const GlobalPool& p, ThreadPool& threads, Isa isa) {
  constexpr int64_t kRows = 512;  // floats added up before they become doubles
  const ReduceTable& table = reduce_table(isa);
  const bool max = p.kind == PoolKind::kMax;
  const auto step = table.columns[static_cast<int>(max ? ReduceStep::kMax : ReduceStep::kAdd)];
  const int64_t blocks = (p.channels + kReduceColumns - 1) / kReduceColumns;
  const int64_t work = std::max<int64_t>(1, p.pixels * std::min(kReduceColumns, p.channels));
  threads.parallel_ranges(p.batch * blocks, std::max<int64_t>(1, 16384 / work), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t n = t / blocks, c = t % blocks * kReduceColumns, width = std::min(kReduceColumns, p.channels - c);
      double total[kReduceColumns] = {};
      float acc[kReduceColumns];
      float* out = p.out + n * p.ld_out + c;
      if (max) {
        std::fill_n(out, width, -__builtin_inff());
        step(p.in + n * p.pixels * p.ld_in + c, p.pixels, p.ld_in, width, nullptr, out);
        continue;
      }
      for (int64_t r = 0; r < p.pixels; r += kRows) {
        std::fill_n(acc, width, 0.f);
        step(p.in + (n * p.pixels + r) * p.ld_in + c, std::min(kRows, p.pixels - r), p.ld_in, width, nullptr, acc);
        for (int64_t i = 0; i < width; ++i) total[i] += static_cast<double>(acc[i]);
      }
      for (int64_t i = 0; i < width; ++i) out[i] = static_cast<float>(total[i] / static_cast<double>(p.pixels));
    }
  });
}

}  // namespace carnot::cpu
