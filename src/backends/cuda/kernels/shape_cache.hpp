// SPDX-License-Identifier: Apache-2.0
// What a kernel has prepared for the shapes that it has met lately.
#pragma once
#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/tensor.hpp"

namespace carnot::cuda {

template <typename Prepared>
class ShapeCache {
 public:
  // Prepared for these operands; make() runs when the shapes are new, under the lock, so that two sessions do not both do it.
  template <typename Make>
  Result<std::shared_ptr<Prepared>> get(std::span<const TensorView> in, std::span<const TensorView> out, int alignment, Make&& make) const {
    Dims key{alignment};
    for (const auto& views : {in, out})
      for (const TensorView& v : views) {
        key.push_back(v.dtype == DType::kInvalid ? -1 : static_cast<int64_t>(v.rank()));
        key.insert(key.end(), v.dims.begin(), v.dims.end());
      }
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it)
      if (it->first == key) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().second;
      }
    CARNOT_ASSIGN(std::shared_ptr<Prepared> made, make());
    entries_.emplace_front(std::move(key), made);
    if (entries_.size() > kMost) entries_.pop_back();
    return made;
  }

 private:
  static constexpr size_t kMost = 64;
  mutable std::mutex mutex_;
  mutable std::list<std::pair<Dims, std::shared_ptr<Prepared>>> entries_;
};

// The largest of 16, 8, 4, 2, 1 that divides all addresses; 16 if they are not known yet (null).
inline int alignment_of(std::span<const TensorView> in, std::span<const TensorView> out) {
  uintptr_t all = 16;
  for (const auto& views : {in, out})
    for (const TensorView& v : views)
      if (v.dtype != DType::kInvalid) all |= reinterpret_cast<uintptr_t>(v.data);
  return static_cast<int>(std::min<uintptr_t>(all & (~all + 1), 16));
}

inline Status expect_operands(std::string_view kernel, size_t inputs, size_t outputs, size_t least, size_t most) {
  if (inputs >= least && inputs <= most && outputs == 1) return {};
  return fail(Code::kDataCorrupt, "{} has {} inputs and {} outputs instead of {} to {} and 1", kernel, inputs, outputs, least, most);
}

inline size_t aligned_size(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace carnot::cuda
