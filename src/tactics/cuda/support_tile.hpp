// SPDX-License-Identifier: Apache-2.0
// The core of matrix products: blocks of threads that multiply tiles in shared memory, with the tensor cores (mma.sync) for f16 and
// bf16, with plain multiply-adds for everything else. Convolutions are products of gathered rows and use it, too.
#pragma once
#include <string>

#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics::cuda {

struct Tile {
  DType dtype = DType::kF32;
  int rows = 64, cols = 64;  // of the result: 32 or 64
  Dim m, n, k;               // of each product
  Dim batch = 1;             // products

  // C++ statements. `a_pack`/`b_pack`: given I row (or col) and I k0, both in range, and a Pack<T, kPack> `pack` of zeros, fill in
  // what lies within k. *_setup: before the loop, sees `batch`. `fast_*`: neighbouring threads should read neighbouring rows, not
  // neighbouring k.
  std::string setup, a_pack, b_pack;
  bool a_fast_rows = false, b_fast_rows = false;
  // Given I row, I col: the offset in the result, and the channel.
  std::string offset, channel;

  bool tensor_cores() const { return dtype == DType::kF16 || dtype == DType::kBF16; }
  int pack() const { return tensor_cores() ? 8 : 4; }
  // Rows and cols of the config, else by the number of blocks that they give.
  void choose(const Config& config);
  static std::vector<Config> configs(Effort effort);
  Grid grid() const;
};

// The body, up to and including the stores through finish() into `y`.
std::string tile_text(Kernel& kernel, const Tile& tile);

}  // namespace carnot::tactics::cuda
