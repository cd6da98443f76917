// SPDX-License-Identifier: Apache-2.0
#include "ops/mean_variance_normalization.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "ops/support_norm.hpp"

namespace carnot::ops {

Result<Facts> MeanVarianceNormalization::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  for (int64_t axis : axes) CARNOT_RETURN_IF_ERROR(normalize_axis(axis, ctx.rank(0)));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status MeanVarianceNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  const Dims& dims = ctx.in[0].dims;
  std::vector<bool> folded(dims.size(), false);
  for (int64_t axis : axes) {
    CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, dims.size()));
    folded[static_cast<size_t>(a)] = true;
  }
  // Elements that share statistics, by the index of their other axes.
  std::map<int64_t, std::vector<size_t>> groups;
  for (size_t i = 0; i < y.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t key = 0, stride = 1;
    for (size_t k = dims.size(); k-- > 0; rest /= dims[k]) {
      if (folded[k]) continue;
      key += rest % dims[k] * stride;
      stride *= dims[k];
    }
    groups[key].push_back(i);
  }
  std::vector<double> values;
  for (const auto& [key, group] : groups) {
    values.clear();
    for (size_t i : group) values.push_back(y[i]);
    const Moments m = moments(values);
    for (size_t i : group) y[i] = (y[i] - m.mean) / (std::sqrt(m.variance) + 1e-9);
  }
  store(ctx.out[0], y);
  return {};
}

std::optional<MeanVarianceNormalization> MeanVarianceNormalization::permuted(const std::vector<int64_t>& perm) const {
  MeanVarianceNormalization other = *this;
  for (int64_t& axis : other.axes) {
    auto to = permuted_axis(axis, perm);
    if (!to) return std::nullopt;
    axis = *to;
  }
  std::sort(other.axes.begin(), other.axes.end());
  return other;
}

CARNOT_DEFINE_OPS(mean_variance_normalization, MeanVarianceNormalization)

}  // namespace carnot::ops
