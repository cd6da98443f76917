// SPDX-License-Identifier: Apache-2.0
// How many items that wait run together, as the runs so far say.
#include "core/run_time.hpp"

#include <gtest/gtest.h>

namespace {

using carnot::serve::RunTime;

constexpr uint64_t kItem = 64;

// Runs of 1 to 8 items that take a + c b.
void teach(RunTime& time, double a, double c, int rounds = 4, uint64_t item = kItem) {
  for (int i = 0; i < rounds; ++i)
    for (int b = 1; b <= 8; ++b) time.learn(item, b, a + c * b);
}

TEST(RunTime, AllAsLongAsTooLittleIsKnown) {
  RunTime time;
  EXPECT_EQ(time.worth(kItem, 8), 8);
  for (int i = 0; i < 100; ++i) time.learn(kItem, 1, 100);  // one size says nothing of others
  EXPECT_EQ(time.worth(kItem, 8), 8);
}

TEST(RunTime, AllWhereBatchesPay) {
  RunTime time;
  teach(time, 1000, 20);
  for (const int count : {1, 2, 8, 32}) EXPECT_EQ(time.worth(kItem, count), count);
}

TEST(RunTime, OneWhereAnItemTakesAsLongInCompany) {
  RunTime time;
  teach(time, 0, 1000);
  for (const int count : {1, 2, 8, 32}) EXPECT_EQ(time.worth(kItem, count), 1);
}

TEST(RunTime, SomeInBetween) {
  RunTime time;
  teach(time, 100, 1000);
  const int64_t some = time.worth(kItem, 32);  // 2 take 1050 us each, 32 take 1003
  EXPECT_GT(some, 1);
  EXPECT_LT(some, 5);
}

TEST(RunTime, LargerBatchesAreTriedAgainAndChangeItsMind) {
  RunTime time;
  teach(time, 0, 1000);
  int asked = 0;
  // The model is quicker in company now (another process has left the machine, say).
  for (; asked < 3000 && time.worth(kItem, 8) < 8; ++asked) {
    const int64_t batch = time.worth(kItem, 8);
    time.learn(kItem, batch, 1000);
  }
  EXPECT_GT(asked, 10) << "one or two runs must not turn it over";
  EXPECT_LT(asked, 3000);
}

TEST(RunTime, ARunThatWasDisturbedChangesNothing) {
  RunTime time;
  teach(time, 1000, 20);
  time.learn(kItem, 8, 1e6);
  EXPECT_EQ(time.worth(kItem, 8), 8);
}

TEST(RunTime, ShapesAreApart) {
  RunTime time;
  teach(time, 0, 1000);
  teach(time, 1000, 20, 4, 2 * kItem);
  EXPECT_EQ(time.worth(kItem, 8), 1);
  EXPECT_EQ(time.worth(2 * kItem, 8), 8);
  for (uint64_t item = 1000; item < 2000; ++item) time.learn(item, 1, 1);
  EXPECT_EQ(time.worth(1999, 8), 8);
}

}  // namespace
