// SPDX-License-Identifier: Apache-2.0
#include "runtime/placement.hpp"

#include <algorithm>
#include <numeric>

namespace carnot::runtime {
namespace {
uint64_t rounded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }
}  // namespace

uint64_t place(std::vector<Lifetime>& buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (buffers[a].bytes != buffers[b].bytes) return buffers[a].bytes > buffers[b].bytes;
    return a < b;
  });
  std::vector<size_t> placed;  // sorted by offset
  uint64_t total = 0;
  for (size_t i : order) {
    Lifetime& b = buffers[i];
    const uint64_t bytes = rounded(b.bytes);
    uint64_t at = 0;
    for (size_t j : placed) {
      const Lifetime& other = buffers[j];
      if (other.last < b.first || b.last < other.first) continue;
      if (at + bytes <= other.offset) break;
      at = std::max(at, other.offset + rounded(other.bytes));
    }
    b.offset = at;
    total = std::max(total, at + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i, [&](size_t x, size_t y) { return buffers[x].offset < buffers[y].offset; }), i);
  }
  return total;
}

uint64_t lower_bound(const std::vector<Lifetime>& buffers) {
  std::vector<std::pair<int32_t, int64_t>> events;
  for (const Lifetime& b : buffers) {
    events.emplace_back(b.first, static_cast<int64_t>(rounded(b.bytes)));
    events.emplace_back(b.last + 1, -static_cast<int64_t>(rounded(b.bytes)));
  }
  std::sort(events.begin(), events.end());
  int64_t alive = 0, most = 0;
  for (const auto& [when, bytes] : events) most = std::max(most, alive += bytes);
  return static_cast<uint64_t>(most);
}

}  // namespace carnot::runtime
