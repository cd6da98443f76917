// SPDX-License-Identifier: Apache-2.0
#include "compiler/share_memory.hpp"

#include <algorithm>

namespace carnot::compiler {
namespace {

using engine::Buffer;
using engine::BufferKind;
using engine::Command;
using engine::Plan;

int32_t root_of(const Plan& plan, int32_t b) {
  while (plan.buffers[static_cast<size_t>(b)].alias >= 0) b = plan.buffers[static_cast<size_t>(b)].alias;
  return b;
}

// The last command that touches each root; behind the last one for what the caller gets.
std::vector<size_t> last_uses(const Plan& plan) {
  std::vector<size_t> last(plan.buffers.size(), 0);
  for (size_t c = 0; c < plan.commands.size(); ++c)
    for (const auto* list : {&plan.commands[c].inputs, &plan.commands[c].outputs})
      for (int32_t b : *list)
        if (b >= 0) last[static_cast<size_t>(root_of(plan, b))] = c;
  for (int32_t b : plan.outputs) last[static_cast<size_t>(root_of(plan, b))] = plan.commands.size();
  return last;
}

bool same_bytes(const Buffer& a, const Buffer& b) {
  return a.place == b.place && a.dtype != DType::kString && b.dtype != DType::kString && dtype_size(a.dtype) == dtype_size(b.dtype) && size_of(a.shape) == size_of(b.shape);
}

}  // namespace

void share_in_place(Plan& plan, const SharingHints& hints) {
  std::vector<size_t> last = last_uses(plan);
  for (size_t c = 0; c < plan.commands.size(); ++c) {
    const Command& command = plan.commands[c];
    if (hints.in_place[c] == 0 || command.outputs.empty()) continue;
    const int32_t y = command.outputs[0];
    Buffer& result = plan.buffers[static_cast<size_t>(y)];
    if (result.kind != BufferKind::kTemp || result.alias >= 0 || !hints.sized[static_cast<size_t>(y)]) continue;
    for (size_t i = 0; i < command.inputs.size() && i < 32; ++i) {
      const int32_t x = command.inputs[i];
      // A buffer lies inside an earlier one.
      if (!(hints.in_place[c] >> i & 1) || x < 0 || x >= y || !hints.sized[static_cast<size_t>(x)]) continue;
      const auto root = static_cast<size_t>(root_of(plan, x));
      if (plan.buffers[root].kind != BufferKind::kTemp || last[root] != c || !same_bytes(plan.buffers[static_cast<size_t>(x)], result)) continue;
      // Read or written a second time by this command, under another shape perhaps: then the order of elements matters.
      auto in_root = [&](int32_t b) { return b >= 0 && static_cast<size_t>(root_of(plan, b)) == root; };
      if (std::count_if(command.inputs.begin(), command.inputs.end(), in_root) > 1 || std::any_of(command.outputs.begin(), command.outputs.end(), in_root)) continue;
      result.alias = x;
      result.alias_offset = 0;
      last[root] = last[static_cast<size_t>(y)];
      break;
    }
  }
}

}  // namespace carnot::compiler
