// SPDX-License-Identifier: Apache-2.0
// What a run of b items takes, learned from the runs themselves: a + c b, by the size of an item's inputs.
#pragma once
#include <cstdint>
#include <unordered_map>

namespace carnot::serve {

// Not thread-safe: its scheduler's mutex guards it.
class RunTime {
 public:
  void learn(uint64_t item_bytes, int64_t batch, double us);

  // How many of `count` items that wait to run together: the fewest that cost, each, hardly more than all of them
  // together would. All of them where batches pay, one where an item in company takes as long as alone: then the first
  // need not wait for the last. All as long as too little is known; twice as many now and then, to learn.
  int64_t worth(uint64_t item_bytes, int64_t count);

 private:
  struct Line {  // least squares; what is long ago counts less
    double n = 0, b = 0, bb = 0, t = 0, bt = 0;
    uint64_t asked = 0;
    bool fit(double* a, double* c) const;
  };
  std::unordered_map<uint64_t, Line> lines_;
};

}  // namespace carnot::serve
