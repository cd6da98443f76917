// SPDX-License-Identifier: Apache-2.0
#include "tactics/cpu/support_blocking.hpp"

#include <algorithm>
#include <set>

#include "base/cpu_features.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::tactics {
namespace {

// Panels, depth, rows and columns, as the parameter has them.
using Cut = std::vector<int64_t>;

}  // namespace

std::vector<Config> blocking_configs(const ProductSize& size, Effort effort) {
  std::vector<Config> out{Config{}};
  if (effort == Effort::kHeuristic) return out;
  auto fits = [](int64_t known, int64_t least) { return known == 0 || known > least; };
  // What each number may be besides 0. Only AVX-512 has tiles of several widths.
  std::vector<int64_t> panels, depths, rows, columns;
  for (const int64_t p : {3, 4})
    if (kernel_isa() == Isa::kAvx512 && fits(size.columns, (p - 1) * 16)) panels.push_back(p);
  for (const int64_t d : {256, 512})
    if (fits(size.depth, d) && fits(size.rows, 16)) depths.push_back(d);
  if (fits(size.depth, 1024) && fits(size.rows, 16)) depths.push_back(int64_t{1} << 20);
  for (const int64_t r : {28, 56, 112, 224})
    if (fits(size.rows, r)) rows.push_back(r);
  for (const int64_t c : {1, 2, 4})
    if (fits(size.columns, 32 * (c - 1))) columns.push_back(c);

  std::set<Cut> seen{{0, 0, 0, 0}};
  auto add = [&](Cut cut) {
    if (seen.insert(cut).second) out.push_back({{"blocking", std::move(cut)}});
  };
  // One number at a time, and the widths of tiles together with how tasks are cut: these two were seen to depend on each other.
  for (const int64_t p : panels) add({p, 0, 0, 0});
  for (const int64_t c : columns) add({0, 0, 0, c});
  for (const int64_t r : rows) add({0, 0, r, 0});
  for (const int64_t d : depths) add({0, d, 0, 0});
  if (effort != Effort::kExhaustive) return out;
  for (auto* list : {&panels, &depths, &rows, &columns}) list->insert(list->begin(), 0);
  for (const int64_t p : panels)
    for (const int64_t c : columns)
      for (const int64_t r : rows)
        for (const int64_t d : depths) add({p, d, r, c});
  return out;
}

int64_t extent_at(const Problem& problem, const Shape& shape, size_t begin, size_t end) {
  const Sizes none;
  int64_t n = 1;
  for (size_t i = begin; i < std::min(end, shape.size()); ++i) {
    const auto dims = dims_at({shape[i]}, problem.sizes ? *problem.sizes : none);
    if (!dims || ((*dims)[0] > 0 && n > (int64_t{1} << 40) / (*dims)[0])) return 0;
    n *= (*dims)[0];
  }
  return n;
}

void add_config(Attrs& params, const Config& config) { params.insert(params.end(), config.begin(), config.end()); }

}  // namespace carnot::tactics
