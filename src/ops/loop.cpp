// SPDX-License-Identifier: Apache-2.0
#include "ops/loop.hpp"

#include <limits>

#include "ops/support_loop.hpp"

namespace carnot::ops {

namespace {
Status check_count(int64_t carried, size_t inputs) {
  if (carried >= 0 && static_cast<uint64_t>(carried) + 2 <= std::max<size_t>(inputs, 2)) return {};
  return invalid("attribute 'num_carried' is {}, the node has {} inputs", carried, inputs);
}
}  // namespace

Result<Facts> Loop::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_count(num_carried, ctx.inputs()));
  if (ctx.has(0) && ctx.dtype(0) != DType::kI64)
    return invalid("input 0 ('trip_count') must be i64, got {}", dtype_name(ctx.dtype(0)));
  if (ctx.has(1) && ctx.dtype(1) != DType::kBool)
    return invalid("input 1 ('cond') must be bool, got {}", dtype_name(ctx.dtype(1)));
  Facts params{{DType::kI64, {}}, {DType::kBool, {}}};
  for (size_t i = 2; i < ctx.inputs(); ++i) {
    if (!ctx.has(i)) return invalid("input {} of a loop is missing", i);
    params.push_back(ctx.facts(i));
  }
  const auto count = static_cast<size_t>(num_carried);
  CARNOT_ASSIGN(Carried carried, infer_carried(ctx, params, 2, 1, count));
  if (carried.body[0].dtype != DType::kBool)
    return invalid("the body returns {} as condition, not bool", dtype_name(carried.body[0].dtype));
  if (ctx.outputs() > carried.body.size() - 1)
    return invalid("the node has {} outputs, its body gives {}", ctx.outputs(), carried.body.size() - 1);
  Facts out = std::move(carried.results);
  const std::set<std::string> known = known_symbols(ctx);
  const Dim runs = ctx.fresh("runs");
  for (size_t i = count + 1; i < carried.body.size(); ++i) {
    ValueFacts stacked{carried.body[i].dtype, outside_shape(ctx, carried.body[i].shape, known)};
    stacked.shape.insert(stacked.shape.begin(), runs);
    out.push_back(std::move(stacked));
  }
  return out;
}

Status Loop::evaluate(EvalCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_count(num_carried, ctx.in.size()));
  const auto count = static_cast<size_t>(num_carried);
  int64_t most = std::numeric_limits<int64_t>::max();
  if (ctx.has(0)) {
    if (ctx.in[0].size() != 1)
      return invalid("input 0 ('trip_count') must hold one number, got shape {}", to_string(ctx.in[0].dims));
    most = *ctx.in[0].as<int64_t>();
  }
  bool cond = true;
  if (ctx.has(1)) {
    if (ctx.in[1].size() != 1)
      return invalid("input 1 ('cond') must hold one bool, got shape {}", to_string(ctx.in[1].dims));
    cond = *ctx.in[1].as<bool>();
  }
  CarriedValues carried;
  CARNOT_RETURN_IF_ERROR(carried.set(ctx.in.subspan(std::min<size_t>(2, ctx.in.size())).first(count)));
  std::vector<Stack> stacks(ctx.out.size() > count ? ctx.out.size() - count : 0);
  int64_t i = 0;
  auto run = [&]() -> Result<std::vector<TensorView>> {
    std::vector<TensorView> args{{DType::kI64, {}, &i}, {DType::kBool, {}, &cond}};
    args.insert(args.end(), carried.views().begin(), carried.views().end());
    if (ctx.in.size() > 2 + count)
      args.insert(args.end(), ctx.in.begin() + static_cast<int64_t>(2 + count), ctx.in.end());
    auto results = ctx.run_body(0, args);
    if (results && results->size() < 1 + count + stacks.size())
      return fail(Code::kInternal, "the body gives {} results, {} are wanted", results->size(),
                  1 + count + stacks.size());
    return results;
  };
  for (; i < most && cond; ++i) {
    CARNOT_ASSIGN(const std::vector<TensorView> results, run());
    if (results[0].size() != 1) return invalid("the body returns a condition of shape {}", to_string(results[0].dims));
    const bool go_on = *results[0].as<bool>();
    for (size_t s = 0; s < stacks.size(); ++s) CARNOT_RETURN_IF_ERROR(stacks[s].push(results[1 + count + s]));
    CARNOT_RETURN_IF_ERROR(carried.set(std::span(results).subspan(1, count)));
    if (ctx.has(1) || !ctx.has(0)) cond = go_on;
  }
  for (size_t k = 0; k < count && k < ctx.out.size(); ++k) {
    if (!ctx.wants(k)) continue;
    const TensorView& value = carried.views()[k];
    CARNOT_RETURN_IF_ERROR(ctx.allocate(k, value.dims));
    if (value.bytes() > 0) std::memcpy(ctx.out[k].data, value.data, value.bytes());
  }
  // A stack of nothing takes its other dims from a run on the initial values whose results are thrown away.
  std::vector<TensorView> shapes;
  if (i == 0 && !stacks.empty()) {
    CARNOT_ASSIGN(shapes, run());
  }
  for (size_t s = 0; s < stacks.size(); ++s)
    CARNOT_RETURN_IF_ERROR(
        stacks[s].finish(ctx, count + s, 0, false, shapes.empty() ? TensorView{} : shapes[1 + count + s]));
  return {};
}

CARNOT_DEFINE_OPS(loop, Loop)

}  // namespace carnot::ops
