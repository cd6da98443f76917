// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/transpose/transpose.hpp"

#include <algorithm>
#include <numeric>

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

template <typename T>
void check(const Dims& dims, const std::vector<int64_t>& perm, Isa isa) {
  std::vector<T> in(static_cast<size_t>(size_of(dims)));
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(i * 2654435761u);
  std::vector<T> got(in.size() + 1, T(77)), want(in.size());
  Dims shape;
  for (int64_t p : perm) shape.push_back(dims[static_cast<size_t>(p)]);
  const Dims in_strides = strides_of(dims);
  for (size_t o = 0; o < want.size(); ++o) {
    size_t rest = o;
    int64_t offset = 0;
    for (size_t i = shape.size(); i-- > 0;) {
      offset += static_cast<int64_t>(rest % static_cast<size_t>(shape[i])) * in_strides[static_cast<size_t>(perm[i])];
      rest /= static_cast<size_t>(shape[i]);
    }
    want[o] = in[static_cast<size_t>(offset)];
  }
  ASSERT_TRUE(run_transpose(in.data(), got.data(), dims, perm, sizeof(T), pool(), isa).ok());
  EXPECT_EQ(got.back(), T(77));
  got.pop_back();
  ASSERT_EQ(got, want) << to_string(dims) << " " << to_string(Dims(perm.begin(), perm.end())) << " " << sizeof(T) << " bytes, " << isa_name(isa);
}

TEST(TransposeKernels, EveryPermutation) {
  const std::vector<Dims> shapes = {{}, {5}, {1, 7}, {16, 16}, {17, 33}, {3, 100}, {100, 3}, {2, 3, 4}, {5, 1, 6}, {0, 3, 2}, {2, 37, 19}, {2, 3, 4, 5},
                                    {3, 2, 18, 2}, {1, 5, 33, 70}, {2, 2, 3, 2, 4}};
  for (const Dims& dims : shapes) {
    std::vector<int64_t> perm(dims.size());
    std::iota(perm.begin(), perm.end(), 0);
    do {
      for (Isa isa : isas()) {
        check<uint8_t>(dims, perm, isa);
        check<uint16_t>(dims, perm, isa);
        check<uint32_t>(dims, perm, isa);
        check<uint64_t>(dims, perm, isa);
      }
    } while (std::next_permutation(perm.begin(), perm.end()));
  }
}

TEST(TransposeKernels, RefusesWhatIsNoPermutation) {
  float x[6] = {}, y[6];
  const int64_t twice[] = {0, 0}, outside[] = {0, 2}, low[] = {-1, 0}, one[] = {0}, swap[] = {1, 0};
  EXPECT_FALSE(run_transpose(x, y, {2, 3}, twice, 4, pool()).ok());
  EXPECT_FALSE(run_transpose(x, y, {2, 3}, outside, 4, pool()).ok());
  EXPECT_FALSE(run_transpose(x, y, {2, 3}, low, 4, pool()).ok());
  EXPECT_FALSE(run_transpose(x, y, {2, 3}, one, 4, pool()).ok());
  EXPECT_FALSE(run_transpose(x, y, {2, 3}, swap, 3, pool()).ok());
}

}  // namespace
}  // namespace carnot::cpu::testing
