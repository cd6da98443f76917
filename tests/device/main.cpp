// SPDX-License-Identifier: Apache-2.0
// device_test [cpu | cuda] [--gtest_...]
#include <gtest/gtest.h>

#include "subject.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) carnot::test::set_subject(argv[1]);
  return RUN_ALL_TESTS();
}
