// SPDX-License-Identifier: Apache-2.0
#include "ops/support_matmul.hpp"

namespace carnot::ops {

Result<Shape> matmul_shape(const Shape& a, const Shape& b) {
  if (a.empty() || b.empty())
    return invalid("a matrix product needs operands of rank 1 or more, got {} and {}", to_string(a), to_string(b));
  const Dim& k = a.back();
  const Dim& rows = b.size() == 1 ? b[0] : b[b.size() - 2];
  if (k.is_constant() && rows.is_constant() && !(k == rows))
    return invalid("input 0 ('a') {} has {} columns, but input 1 ('b') {} has {} rows", to_string(a), k.str(),
                   to_string(b), rows.str());
  const Shape a_batch(a.begin(), a.end() - std::min<ptrdiff_t>(2, static_cast<ptrdiff_t>(a.size())));
  const Shape b_batch(b.begin(), b.end() - std::min<ptrdiff_t>(2, static_cast<ptrdiff_t>(b.size())));
  CARNOT_ASSIGN(Shape out, broadcast(a_batch, b_batch));
  if (a.size() > 1) out.push_back(a[a.size() - 2]);
  if (b.size() > 1) out.push_back(b.back());
  return out;
}

namespace {
template <typename T>
std::vector<T> product(std::span<const T> a, Dims a_dims, std::span<const T> b, Dims b_dims) {
  if (a_dims.size() == 1) a_dims.insert(a_dims.begin(), 1);
  if (b_dims.size() == 1) b_dims.push_back(1);
  const size_t rank = std::max(a_dims.size(), b_dims.size());
  a_dims.insert(a_dims.begin(), rank - a_dims.size(), 1);
  b_dims.insert(b_dims.begin(), rank - b_dims.size(), 1);
  const int64_t m = a_dims[rank - 2], k = a_dims[rank - 1], n = b_dims[rank - 1];
  int64_t batch = 1;
  for (size_t i = 0; i + 2 < rank; ++i) batch *= a_dims[i] == 1 ? b_dims[i] : a_dims[i];
  std::vector<T> out(static_cast<size_t>(batch * m * n));
  for (int64_t q = 0; q < batch; ++q) {
    // The matrix of a and b that batch index q broadcasts to.
    int64_t rest = q, a_at = 0, b_at = 0, a_stride = 1, b_stride = 1;
    for (size_t i = rank - 2; i-- > 0;) {
      const int64_t extent = a_dims[i] == 1 ? b_dims[i] : a_dims[i], index = rest % extent;
      rest /= extent;
      if (a_dims[i] != 1) a_at += index * a_stride;
      if (b_dims[i] != 1) b_at += index * b_stride;
      a_stride *= a_dims[i];
      b_stride *= b_dims[i];
    }
    const T* x = a.data() + a_at * m * k;
    const T* w = b.data() + b_at * k * n;
    T* y = out.data() + q * m * n;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t p = 0; p < k; ++p) {
        const T scale = x[i * k + p];
        for (int64_t j = 0; j < n; ++j) {
          if constexpr (std::is_same_v<T, int64_t>)  // wraps like numpy
            y[i * n + j] = static_cast<int64_t>(static_cast<uint64_t>(y[i * n + j]) +
                                                static_cast<uint64_t>(scale) * static_cast<uint64_t>(w[p * n + j]));
          else
            y[i * n + j] += scale * w[p * n + j];
        }
      }
  }
  return out;
}
}  // namespace

std::vector<double> matmul(std::span<const double> a, const Dims& a_dims, std::span<const double> b,
                           const Dims& b_dims) {
  return product<double>(a, a_dims, b, b_dims);
}

std::vector<int64_t> matmul(std::span<const int64_t> a, const Dims& a_dims, std::span<const int64_t> b,
                            const Dims& b_dims) {
  return product<int64_t>(a, a_dims, b, b_dims);
}

}  // namespace carnot::ops
