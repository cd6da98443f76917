// SPDX-License-Identifier: Apache-2.0
#include "ops/support_loop.hpp"

#include <algorithm>

namespace carnot::ops {

std::set<std::string> known_symbols(const InferCtx& ctx) {
  std::set<std::string> known;
  for (size_t i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.has(i)) continue;
    for (const Dim& d : ctx.shape(i)) d.collect_symbols(known);
    if (const auto& values = ctx.facts(i).values)
      for (const Dim& d : *values) d.collect_symbols(known);
  }
  return known;
}

Shape outside_shape(const InferCtx& ctx, const Shape& inside, const std::set<std::string>& known) {
  Shape out;
  for (const Dim& d : inside) {
    std::set<std::string> used;
    d.collect_symbols(used);
    out.push_back(std::includes(known.begin(), known.end(), used.begin(), used.end()) ? d : ctx.fresh("body"));
  }
  return out;
}

Result<Carried> infer_carried(const InferCtx& ctx, Facts& params, size_t first, size_t returned, size_t count) {
  std::vector<std::vector<bool>> changes(count);
  for (size_t i = 0; i < count; ++i) {
    params[first + i].values.reset();
    changes[i].resize(params[first + i].shape.size(), false);
  }
  // Each round but the last makes at least one more dim a symbol.
  for (;;) {
    CARNOT_ASSIGN(Facts body, ctx.infer_body(0, params));
    if (body.size() < returned + count)
      return invalid("the body gives {} results, {} are needed", body.size(), returned + count);
    bool again = false;
    for (size_t i = 0; i < count; ++i) {
      ValueFacts& in = params[first + i];
      const ValueFacts& out = body[returned + i];
      if (in.dtype != out.dtype)
        return invalid("the body takes {} as carried value {} and returns {}", dtype_name(in.dtype), i,
                       dtype_name(out.dtype));
      if (in.shape.size() != out.shape.size())
        return fail(Code::kUnsupported,
                    "carried value {} has shape {} before and {} after a run of the body: ranks must agree", i,
                    to_string(in.shape), to_string(out.shape));
      for (size_t d = 0; d < in.shape.size(); ++d) {
        if (changes[i][d] || in.shape[d] == out.shape[d]) continue;
        changes[i][d] = again = true;
        in.shape[d] = ctx.fresh("carried");
      }
    }
    if (again) continue;
    Carried carried{std::move(body), {}};
    for (size_t i = 0; i < count; ++i) {
      carried.results.push_back({params[first + i].dtype, params[first + i].shape});
      for (size_t d = 0; d < changes[i].size(); ++d)
        if (changes[i][d]) carried.results[i].shape[d] = ctx.fresh("carried");
    }
    return carried;
  }
}

Status CarriedValues::set(std::span<const TensorView> values) {
  std::vector<TensorView> views(values.begin(), values.end());
  std::vector<AlignedPtr> memory;
  for (TensorView& v : views) {
    memory.push_back(aligned_allocate(std::max<size_t>(1, v.bytes())));
    if (!memory.back()) return fail(Code::kOutOfMemory, "no memory for a carried value of shape {}", to_string(v.dims));
    if (v.bytes() > 0) std::memcpy(memory.back().get(), v.data, v.bytes());
    v.data = memory.back().get();
  }
  // The old values may be among the new ones, so they go last.
  views_.swap(views);
  memory_.swap(memory);
  return {};
}

Status Stack::push(const TensorView& value) {
  if (count_ == 0) {
    first_ = value;
    first_.data = nullptr;
  }
  if (value.dims != first_.dims)
    return invalid("a result to be stacked has shape {} in run {} of the body and {} in run 0", to_string(value.dims),
                   count_, to_string(first_.dims));
  const size_t bytes = value.bytes();
  if (used_ + bytes > capacity_) {
    const size_t capacity = std::max(2 * capacity_, used_ + bytes);
    AlignedPtr larger = aligned_allocate(capacity);
    if (!larger)
      return fail(Code::kOutOfMemory, "no memory for {} stacked results of shape {}", count_ + 1,
                  to_string(value.dims));
    if (used_ > 0) std::memcpy(larger.get(), memory_.get(), used_);
    memory_ = std::move(larger);
    capacity_ = capacity;
  }
  if (bytes > 0) std::memcpy(static_cast<char*>(memory_.get()) + used_, value.data, bytes);
  used_ += bytes;
  ++count_;
  return {};
}

Status Stack::finish(EvalCtx& ctx, size_t i, int64_t axis, bool reverse, const TensorView& element) {
  if (!ctx.wants(i)) return {};
  const TensorView& one = count_ > 0 ? first_ : element;
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, one.rank() + 1));
  Dims dims = one.dims;
  dims.insert(dims.begin() + a, count_);
  CARNOT_RETURN_IF_ERROR(ctx.allocate(i, dims));
  int64_t outer = 1, inner = static_cast<int64_t>(dtype_size(one.dtype));
  for (size_t d = 0; d < one.rank(); ++d) (static_cast<int64_t>(d) < a ? outer : inner) *= one.dims[d];
  if (inner == 0) return {};
  auto* to = ctx.out[i].as<char>();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t n = 0; n < count_; ++n, to += inner) {
      const int64_t run = reverse ? count_ - 1 - n : n;
      std::memcpy(to, static_cast<const char*>(memory_.get()) + (run * outer + o) * inner, static_cast<size_t>(inner));
    }
  return {};
}

}  // namespace carnot::ops
