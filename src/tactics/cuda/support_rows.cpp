// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_rows.hpp"

namespace carnot::tactics::cuda {

Rows::Rows(const Shape& x, const std::vector<bool>& fold) {
  const Shape strides = strides_of(x);
  kept.strides.resize(1), folded.strides.resize(1);
  for (size_t a = 0; a < x.size(); ++a) {
    Space& to = fold[a] ? folded : kept;
    to.sizes.push_back(x[a]);
    to.strides[0].push_back(strides[a]);
  }
  rows = size_of(kept.sizes);
  length = size_of(folded.sizes);
  kept.collapse();
  folded.collapse();
  const bool inner_kept = !kept.sizes.empty() && kept.strides[0].back().is(1), inner_folded = folded.sizes.empty() || folded.strides[0].back().is(1);
  contiguous = folded.sizes.size() <= 1 && inner_folded;
  columns = inner_kept && !inner_folded;
  const auto about = [](const Dim& d, int64_t otherwise) { return d.is_constant() ? d.value() : otherwise; };
  const int64_t n = about(length, 1024), m = about(rows, 1024);
  if (columns) group = n <= 8 ? 4 : n <= 256 || m > 4096 ? 8 : 32;
  else group = n <= 256 || (n <= 1024 && m >= 1024) ? 32 : n >= 8192 && m < 512 ? 1024 : 256;
}

Grid Rows::grid() const {
  if (columns) return {.x = Dim::ceildiv(rows, 32), .threads = 32, .threads_y = group};
  if (group == 32) return {.x = Dim::ceildiv(rows, 8), .threads = 256};
  return {.x = rows, .threads = group};
}

std::string Rows::head(Kernel& k) const {
  std::string text;
  if (columns) text = "  const I row = (I)blockIdx.x * 32 + (I)threadIdx.x, lane = (I)threadIdx.y;\n";
  else if (group == 32) text = "  const I row = (I)blockIdx.x * 8 + (I)threadIdx.x / 32, lane = (I)threadIdx.x % 32;\n";
  else text = "  const I row = (I)blockIdx.x, lane = (I)threadIdx.x;\n";
  text += fmt::format("  const bool live = row < {};\n  const int kGroup = {};\n  const I length = live ? {} : 0;\n", k.value(rows), group, k.value(length));
  text += unravel(k, "row", kept.sizes, "k");
  return text + fmt::format("  const I base = {};\n", dot(k, "k", kept.strides[0]));
}

std::string Rows::step(Kernel& k) const { return folded.sizes.size() <= 1 ? "" : unravel(k, "f", folded.sizes, "g"); }

std::string Rows::at(Kernel& k) const {
  if (folded.sizes.empty()) return "0";
  if (folded.sizes.size() == 1) return folded.strides[0][0].is(1) ? "f" : "f * " + k.value(folded.strides[0][0]);
  return dot(k, "g", folded.strides[0]);
}

std::string Rows::fold(std::string_view name, std::string_view op, std::string_view none) const {
  if (columns) return fmt::format("  {} = column_fold<{}, {}>({});\n", name, op, group, name);
  if (group == 32) return fmt::format("  {} = warp_fold<{}, 32>({});\n", name, op, name);
  return fmt::format("  {} = block_fold<{}, {}>({}, {});\n", name, op, group, name, none);
}

}  // namespace carnot::tactics::cuda
