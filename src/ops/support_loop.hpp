// SPDX-License-Identifier: Apache-2.0
// What loop and scan share: values carried from one run of the body to the next, and results stacked along a new axis.
#pragma once
#include <set>
#include <string>

#include "ops/operator.hpp"

namespace carnot::ops {

// The symbols that the operands know. What a body returns may speak of others, which mean nothing outside.
std::set<std::string> known_symbols(const InferCtx& ctx);
// The dims, but a fresh symbol for each that speaks of an unknown one.
Shape outside_shape(const InferCtx& ctx, const Shape& inside, const std::set<std::string>& known);

struct Carried {
  Facts body;     // what the body returns
  Facts results;  // the carried values after the last run
};
// Infers body 0 until the carried values params[first..first+count) have the shapes that the body returns for them as
// its results from `returned` on: a dim that a run may change becomes a fresh symbol. `params` is left as the body was
// last called.
Result<Carried> infer_carried(const InferCtx& ctx, Facts& params, size_t first, size_t returned, size_t count);

// Values that live between runs of a body, whose results are overwritten by the next run.
class CarriedValues {
 public:
  Status set(std::span<const TensorView> values);
  const std::vector<TensorView>& views() const { return views_; }

 private:
  std::vector<TensorView> views_;
  std::vector<AlignedPtr> memory_;
};

// One result of every run, stacked.
class Stack {
 public:
  Status push(const TensorView& value);
  // Gives output i of the operator the elements with the new axis at `axis`; `reverse`: the last one first. `element`
  // is the type of an element for a stack of nothing.
  Status finish(EvalCtx& ctx, size_t i, int64_t axis, bool reverse, const TensorView& element);

 private:
  TensorView first_;  // without data
  AlignedPtr memory_;
  int64_t count_ = 0;
  size_t used_ = 0, capacity_ = 0;
};

}  // namespace carnot::ops
