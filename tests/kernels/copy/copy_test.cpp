// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/copy/copy.hpp"

#include <numeric>

#include "../support.hpp"

namespace carnot::cpu::testing {
namespace {

template <typename T>
std::vector<T> counted(int64_t n) {
  std::vector<T> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), T(1));
  return out;
}

template <typename T>
void check_copy(const Dims& dims, const std::vector<int64_t>& is, const std::vector<int64_t>& os, int64_t first, int64_t in_size, int64_t out_size) {
  const auto in = counted<T>(in_size);
  std::vector<T> got(static_cast<size_t>(out_size), T(99)), want = got;
  for (int64_t k = 0; k < size_of(dims); ++k) {
    int64_t rest = k, i = first, o = 0;
    for (size_t a = dims.size(); a-- > 0;) {
      i += rest % dims[a] * is[a];
      o += rest % dims[a] * os[a];
      rest /= dims[a];
    }
    want[size_t(o)] = in[size_t(i)];
  }
  ASSERT_TRUE(run_copy(in.data() + first, is, got.data(), os, dims, sizeof(T), pool()).ok());
  EXPECT_EQ(got, want) << to_string(dims);
}

TEST(CopyKernels, Strided) {
  auto all = [](const Dims& dims, const std::vector<int64_t>& is, const std::vector<int64_t>& os, int64_t first, int64_t in_size, int64_t out_size) {
    check_copy<uint8_t>(dims, is, os, first, in_size, out_size);
    check_copy<uint16_t>(dims, is, os, first, in_size, out_size);
    check_copy<uint32_t>(dims, is, os, first, in_size, out_size);
    check_copy<uint64_t>(dims, is, os, first, in_size, out_size);
  };
  all({}, {}, {}, 0, 1, 1);
  all({100000}, {1}, {1}, 0, 100000, 100000);
  all({3, 4}, {4, 1}, {10, 1}, 0, 12, 30);               // concat along the last axis
  all({3, 2}, {4, 1}, {2, 1}, 1, 12, 6);                 // a slice
  all({3, 2}, {8, 2}, {2, 1}, 0, 24, 6);                 // every second
  all({5}, {-1}, {1}, 4, 5, 5);                          // reversed
  all({2, 3, 4}, {0, 1, 0}, {12, 4, 1}, 0, 3, 24);       // expand
  all({2, 0, 4}, {1, 1, 1}, {1, 1, 1}, 0, 8, 8);         // nothing
  all({40, 30, 20}, {600, 20, 1}, {1200, 40, 1}, 0, 24000, 48000);
  all({2, 1, 3, 2, 2}, {1, 9, 4, 12, 2}, {12, 12, 4, 2, 1}, 0, 30, 24);
  char x[4];
  const int64_t one[] = {1};
  EXPECT_FALSE(run_copy(x, one, x, one, {4}, 3, pool()).ok());
  EXPECT_FALSE(run_copy(x, one, x, one, {4, 4}, 1, pool()).ok());
}

TEST(CopyKernels, GatherRows) {
  for (int64_t row_floats : {1, 2, 5, 300}) {
    const auto data = counted<float>(2 * 7 * row_floats);
    const std::vector<int64_t> indices{0, 6, -1, 3, -7, 3};
    const std::vector<int32_t> narrow(indices.begin(), indices.end());
    std::vector<float> want, got(2 * 6 * size_t(row_floats)), got32 = got;
    for (int64_t o = 0; o < 2; ++o)
      for (int64_t i : indices)
        for (int64_t c = 0; c < row_floats; ++c) want.push_back(data[size_t((o * 7 + (i < 0 ? i + 7 : i)) * row_floats + c)]);
    GatherRows g{.outer = 2, .size = 7, .row_bytes = row_floats * 4, .data = data.data(), .indices = indices.data(), .count = 6, .out = got.data()};
    ASSERT_TRUE(run_gather_rows(g, pool()).ok());
    EXPECT_EQ(got, want);
    g.indices = narrow.data();
    g.indices_are_32_bit = true;
    g.out = got32.data();
    ASSERT_TRUE(run_gather_rows(g, pool()).ok());
    EXPECT_EQ(got32, want);
  }
  const int64_t bad[] = {7}, low[] = {-8};
  float x[7] = {}, y;
  EXPECT_FALSE(run_gather_rows({.size = 7, .row_bytes = 4, .data = x, .indices = bad, .count = 1, .out = &y}, pool()).ok());
  EXPECT_FALSE(run_gather_rows({.size = 7, .row_bytes = 4, .data = x, .indices = low, .count = 1, .out = &y}, pool()).ok());
}

// Position by position, walking back and forth as the word says.
int64_t reference_source(PadMode mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == PadMode::kConstant) return -1;
  if (mode == PadMode::kEdge) return std::clamp<int64_t>(i, 0, n - 1);
  while (i < 0 || i >= n) {
    if (mode == PadMode::kWrap) i += i < 0 ? n : -n;
    else i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
  }
  return i;
}

TEST(CopyKernels, Pad) {
  struct Case {
    Dims dims;
    std::vector<int64_t> begin, end;
  };
  for (const Case& k : {Case{{5}, {2}, {3}}, {{3, 4}, {1, 2}, {2, 3}}, {{3, 4}, {-1, 2}, {0, -3}}, {{2, 3, 2}, {0, 1, 0}, {1, 0, 1}}, {{1, 2}, {3, 4}, {2, 5}},
                        {{3, 5}, {0, 0}, {0, 0}}, {{4}, {-2}, {7}}, {{4}, {-3}, {-1}}, {{60, 70}, {3, 9}, {5, 7}}, {{6}, {-6}, {0}}, {{3, 3}, {0, -5}, {0, 4}}})
    for (PadMode mode : {PadMode::kConstant, PadMode::kReflect, PadMode::kEdge, PadMode::kWrap}) {
      const auto in = counted<float>(size_of(k.dims));
      Dims shape;
      for (size_t i = 0; i < k.dims.size(); ++i) shape.push_back(k.dims[i] + k.begin[i] + k.end[i]);
      std::vector<float> got(size_t(size_of(shape))), want(got.size());
      for (size_t o = 0; o < want.size(); ++o) {
        int64_t rest = int64_t(o), offset = 0, stride = 1;
        bool outside = false;
        for (size_t a = shape.size(); a-- > 0;) {
          const int64_t s = reference_source(mode, rest % shape[a] - k.begin[a], k.dims[a]);
          rest /= shape[a];
          outside = outside || s < 0;
          offset += s * stride;
          stride *= k.dims[a];
        }
        want[o] = outside ? -7.f : in[size_t(offset)];
      }
      const float value = -7;
      ASSERT_TRUE(run_pad(mode, in.data(), k.dims, k.begin, k.end, &value, got.data(), 4, pool()).ok());
      EXPECT_EQ(got, want) << to_string(k.dims) << int(mode);
    }
  float x[2] = {}, y[9];
  const int64_t cut[] = {-3}, none[] = {0}, two[] = {2};
  EXPECT_FALSE(run_pad(PadMode::kConstant, x, {2}, cut, none, x, y, 4, pool()).ok());
  EXPECT_FALSE(run_pad(PadMode::kEdge, x, {0}, two, none, x, y, 4, pool()).ok());
}

}  // namespace
}  // namespace carnot::cpu::testing
