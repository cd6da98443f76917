// SPDX-License-Identifier: Apache-2.0
// Folding some axes of a tensor: who reads what. The kept axes number the rows; each row's folded elements are read by a group of
// threads.
#pragma once
#include <string>
#include <vector>

#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics::cuda {

struct Rows {
  Space kept;    // operand 0: x
  Space folded;  // operand 0: x
  Dim rows, length;
  bool columns = false;  // neighbouring threads hold neighbouring rows (whose elements lie side by side), not elements of one row
  int group = 256;       // threads of a row: 32 (of 8 rows a block) or a whole block; columns: threads_y, 32 rows a block
  bool contiguous = false;  // a row is one run of memory

  Rows(const Shape& x, const std::vector<bool>& fold);
  Grid grid() const;
  // Declares `row` (its number), `base` (offset of its first element), `lane` and the bool `live`; then a loop reads
  //   for (I f = lane; f < length; f += kGroup) ... x[base + <at()>]
  std::string head(Kernel& k) const;
  // Statements that declare what at() uses, for the folded element f.
  std::string step(Kernel& k) const;
  std::string at(Kernel& k) const;
  // Folds variable `name` over the row's threads with struct `op` (support_text's); every thread of the row gets the result.
  std::string fold(std::string_view name, std::string_view op, std::string_view none) const;
};

}  // namespace carnot::tactics::cuda
