// SPDX-License-Identifier: Apache-2.0
#include "engine/plan.hpp"

namespace carnot::engine {

std::string to_string(const InputRange& range) {
  std::string out;
  for (const Dims* dims : {&range.min, &range.opt, &range.max}) {
    if (!out.empty()) out += "..";
    for (size_t a = 0; a < dims->size(); ++a) out += (a == 0 ? "" : "x") + (range.max[a] < 0 ? std::string("*") : std::to_string((*dims)[a]));
  }
  return out;
}

}  // namespace carnot::engine
