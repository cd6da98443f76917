// SPDX-License-Identifier: Apache-2.0
#include "runtime/placement.hpp"

#include <gtest/gtest.h>

#include <random>

namespace carnot::runtime {
namespace {

bool alive_together(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }
bool overlap(const Lifetime& a, const Lifetime& b) { return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes; }

TEST(Placement, ChainTakesTurns) {
  std::vector<Lifetime> chain{{640, 0, 1}, {640, 1, 2}, {640, 2, 3}, {64, 3, 4}};
  EXPECT_EQ(place(chain), 1280u);
  EXPECT_EQ(lower_bound(chain), 1280u);
  EXPECT_EQ(chain[0].offset, chain[2].offset);
}

TEST(Placement, SizesAreRoundedToLines) {
  std::vector<Lifetime> buffers{{1, 0, 1}, {65, 0, 1}};
  EXPECT_EQ(place(buffers), 192u);
  for (const Lifetime& b : buffers) EXPECT_EQ(b.offset % 64, 0u);
}

TEST(Placement, NothingTakesNothing) {
  std::vector<Lifetime> none;
  EXPECT_EQ(place(none), 0u);
  EXPECT_EQ(lower_bound(none), 0u);
}

TEST(Placement, RandomLivesNeverCollide) {
  std::mt19937 rng(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> buffers(1 + rng() % 40);
    for (Lifetime& b : buffers) {
      b.first = static_cast<int32_t>(rng() % 50);
      b.last = b.first + static_cast<int32_t>(rng() % 10);
      b.bytes = rng() % 5000;
    }
    const uint64_t bound = lower_bound(buffers), total = place(buffers);
    EXPECT_GE(total, bound);
    for (size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_LE(buffers[i].offset + buffers[i].bytes, total);
      for (size_t j = 0; j < i; ++j)
        if (alive_together(buffers[i], buffers[j])) EXPECT_FALSE(overlap(buffers[i], buffers[j])) << round;
    }
  }
}

}  // namespace
}  // namespace carnot::runtime
