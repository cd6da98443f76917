// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/reduce/reduce.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/kernels/isa_table.hpp"
#include "backends/cpu/kernels/reduce/contract.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

CARNOT_ISA_TABLE(ReduceTable, reduce_table, fill_reduce_table)

std::optional<Reduction> parse_reduction(std::string_view name) {
  constexpr std::string_view kNames[] = {"sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Reduction>(i);
  return std::nullopt;
}

namespace {
constexpr int kMaxAxes = 16;

struct Axis {
  int64_t size, stride;
};

// The axes that are walked: kept ones make the output's index, reduced ones the terms. Neighbours of one kind are merged.
struct Plan {
  Axis kept[kMaxAxes], reduced[kMaxAxes];
  int kept_count = 0, reduced_count = 0;
  int64_t outputs = 1, terms = 1;
  bool inner_kept = true;  // the last axis of the tensor
};

Result<Plan> make_plan(const Dims& dims, std::span<const int64_t> axes) {
  const size_t rank = dims.size();
  uint64_t reduced = 0;
  if (rank > 64) return invalid("a reduction of rank {}", rank);
  for (int64_t a : axes) {
    if (a < 0 || a >= static_cast<int64_t>(rank) || (reduced >> a & 1)) return invalid("axis {} of a reduction of rank {}", a, rank);
    reduced |= uint64_t{1} << a;
  }
  Plan plan;
  const Dims strides = strides_of(dims);
  int last = -1;  // kind of the axis before
  for (size_t i = 0; i < rank; ++i) {
    const int kind = static_cast<int>(reduced >> i & 1);
    (kind ? plan.terms : plan.outputs) *= dims[i];
    if (dims[i] == 1) continue;
    Axis* list = kind ? plan.reduced : plan.kept;
    int& count = kind ? plan.reduced_count : plan.kept_count;
    if (kind == last) {
      list[count - 1] = {list[count - 1].size * dims[i], strides[i]};
    } else {
      if (count == kMaxAxes) return invalid("a reduction over more than {} axes", kMaxAxes);
      list[count++] = {dims[i], strides[i]};
    }
    last = kind;
  }
  plan.inner_kept = last != 1;
  return plan;
}

int64_t offset_of(const Axis* axes, int count, int64_t index) {
  int64_t offset = 0;
  for (int k = count - 1; k >= 0; --k) {
    offset += index % axes[k].size * axes[k].stride;
    index /= axes[k].size;
  }
  return offset;
}

ReduceStep step_of(Reduction r) {
  switch (r) {
    case Reduction::kMax: return ReduceStep::kMax;
    case Reduction::kMin: return ReduceStep::kMin;
    case Reduction::kProd: return ReduceStep::kMultiply;
    case Reduction::kL1: return ReduceStep::kAddAbs;
    case Reduction::kL2:
    case Reduction::kSumSquare: return ReduceStep::kAddSquare;
    case Reduction::kLogSumExp: return ReduceStep::kAddExp;
    default: return ReduceStep::kAdd;
  }
}

double neutral_of(ReduceStep s) {
  if (s == ReduceStep::kMax) return -std::numeric_limits<double>::infinity();
  if (s == ReduceStep::kMin) return std::numeric_limits<double>::infinity();
  return s == ReduceStep::kMultiply ? 1 : 0;
}
double join(ReduceStep s, double a, double b) {
  if (s == ReduceStep::kMax) return b > a || b != b ? b : a;
  if (s == ReduceStep::kMin) return b < a || b != b ? b : a;
  return s == ReduceStep::kMultiply ? a * b : a + b;
}
float finish(Reduction r, double sum, int64_t terms, float shift) {
  switch (r) {
    case Reduction::kMean: return static_cast<float>(sum / static_cast<double>(terms));
    case Reduction::kL2: return static_cast<float>(std::sqrt(sum));
    case Reduction::kLogSum: return static_cast<float>(std::log(sum));
    case Reduction::kLogSumExp: return static_cast<float>(std::log(sum) + static_cast<double>(shift));
    default: return static_cast<float>(sum);
  }
}

// The largest term, where e^x needs it; infinities would only turn into NaN.
float as_shift(double top) { return std::isfinite(top) ? static_cast<float>(top) : 0.f; }

// One output whose terms are runs of adjoining elements.
double reduce_runs(const ReduceTable& t, ReduceStep step, const Plan& plan, const float* x, float shift) {
  const Axis run = plan.reduced[plan.reduced_count - 1];
  const int64_t runs = plan.terms / run.size;
  double total = neutral_of(step);
  for (int64_t r = 0; r < runs; ++r)
    total = join(step, total, t.run[static_cast<int>(step)](x + offset_of(plan.reduced, plan.reduced_count - 1, r), run.size, shift));
  return total;
}

// `width` adjoining outputs; long sums of floats are broken into blocks that are added as doubles.
void reduce_columns(const ReduceTable& t, ReduceStep step, const Plan& plan, const float* x, int64_t width, const float* shift, double* totals) {
  constexpr int64_t kRows = 512;
  for (int64_t c = 0; c < width; ++c) totals[c] = neutral_of(step);
  const Axis rows = plan.reduced_count > 0 ? plan.reduced[plan.reduced_count - 1] : Axis{1, 0};
  const int64_t outer = plan.terms / rows.size;
  for (int64_t o = 0; o < outer; ++o) {
    const float* from = x + offset_of(plan.reduced, plan.reduced_count - 1, o);
    for (int64_t r = 0; r < rows.size; r += kRows) {
      float acc[kReduceColumns];
      std::fill_n(acc, width, static_cast<float>(neutral_of(step)));
      t.columns[static_cast<int>(step)](from + r * rows.stride, std::min(kRows, rows.size - r), rows.stride, width, shift, acc);
      for (int64_t c = 0; c < width; ++c) totals[c] = join(step, totals[c], static_cast<double>(acc[c]));
    }
  }
}
}  // namespace

Status run_reduce(Reduction reduction, const float* in, float* out, const Dims& dims, std::span<const int64_t> axes, ThreadPool& pool, Isa isa) {
  CARNOT_ASSIGN(const Plan plan, make_plan(dims, axes));
  const ReduceStep step = step_of(reduction);
  if (plan.terms == 0) {
    std::fill_n(out, plan.outputs, finish(reduction, neutral_of(step), 0, 0));
    return {};
  }
  if (plan.outputs == 0) return {};
  const ReduceTable& table = reduce_table(isa);
  const bool shifted = reduction == Reduction::kLogSumExp;
  if (!plan.inner_kept) {
    pool.parallel_ranges(plan.outputs, std::max<int64_t>(1, 16384 / plan.terms), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        const float* x = in + offset_of(plan.kept, plan.kept_count, o);
        const float shift = shifted ? as_shift(reduce_runs(table, ReduceStep::kMax, plan, x, 0)) : 0;
        out[o] = finish(reduction, reduce_runs(table, step, plan, x, shift), plan.terms, shift);
      }
    });
    return {};
  }
  const int64_t inner = plan.kept_count > 0 ? plan.kept[plan.kept_count - 1].size : 1;
  const int64_t blocks = (inner + kReduceColumns - 1) / kReduceColumns, outer = plan.outputs / inner;
  pool.parallel_ranges(outer * blocks, std::max<int64_t>(1, 16384 / (plan.terms * kReduceColumns)), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t c = t % blocks * kReduceColumns, width = std::min(kReduceColumns, inner - c);
      const float* x = in + offset_of(plan.kept, plan.kept_count - 1, t / blocks) + c;
      double totals[kReduceColumns];
      float shift[kReduceColumns] = {};
      if (shifted) {
        reduce_columns(table, ReduceStep::kMax, plan, x, width, nullptr, totals);
        for (int64_t i = 0; i < width; ++i) shift[i] = as_shift(totals[i]);
      }
      reduce_columns(table, step, plan, x, width, shifted ? shift : nullptr, totals);
      for (int64_t i = 0; i < width; ++i) out[t / blocks * inner + c + i] = finish(reduction, totals[i], plan.terms, shift[i]);
    }
  });
  return {};
}

}  // namespace carnot::cpu
