// SPDX-License-Identifier: Apache-2.0
#include "ops/scan.hpp"

#include <cstring>

#include "ops/support_check.hpp"
#include "ops/support_loop.hpp"

namespace carnot::ops {

namespace {

Status check(const Scan& scan, size_t inputs, size_t outputs) {
  const int64_t n = static_cast<int64_t>(inputs), s = scan.num_state, m = scan.num_scan_inputs;
  if (m < 1 || s < 0 || m > n || s > n - m)
    return invalid("{} states and {} scanned values do not fit {} inputs", s, m, inputs);
  if (static_cast<int64_t>(outputs) < s) return invalid("{} states do not fit {} outputs", s, outputs);
  auto fits = [](std::string_view name, const std::vector<int64_t>& list, size_t wanted) -> Status {
    if (list.empty() || list.size() == wanted) return {};
    return invalid("attribute '{}' has {} entries, {} are needed", name, list.size(), wanted);
  };
  const auto stacks = outputs - static_cast<size_t>(s);
  CARNOT_RETURN_IF_ERROR(fits("scan_input_axes", scan.scan_input_axes, static_cast<size_t>(m)));
  CARNOT_RETURN_IF_ERROR(fits("scan_input_directions", scan.scan_input_directions, static_cast<size_t>(m)));
  CARNOT_RETURN_IF_ERROR(fits("scan_output_axes", scan.scan_output_axes, stacks));
  return fits("scan_output_directions", scan.scan_output_directions, stacks);
}

int64_t entry(const std::vector<int64_t>& list, size_t i) { return list.empty() ? 0 : list[i]; }

// The places at `index` of an axis, without that axis.
void copy_slice(const TensorView& from, int64_t axis, int64_t index, TensorView& to) {
  const AxisSplit s = split_at(from.dims, axis);
  const int64_t bytes = s.inner * static_cast<int64_t>(dtype_size(from.dtype));
  for (int64_t o = 0; o < s.outer && bytes > 0; ++o)
    std::memcpy(to.as<char>() + o * bytes, from.as<char>() + (o * s.extent + index) * bytes,
                static_cast<size_t>(bytes));
}

}  // namespace

Result<Facts> Scan::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check(*this, ctx.inputs(), ctx.outputs()));
  const auto states = static_cast<size_t>(num_state), scanned = static_cast<size_t>(num_scan_inputs);
  Facts params;
  std::optional<Dim> length;
  for (size_t i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.has(i)) return invalid("input {} of a scan is missing", i);
    params.push_back(ctx.facts(i));
    if (i < states || i >= states + scanned) continue;
    CARNOT_ASSIGN(const int64_t a, normalize_axis(entry(scan_input_axes, i - states), ctx.rank(i)));
    const Dim d = ctx.shape(i)[static_cast<size_t>(a)];
    if (length && length->is_constant() && d.is_constant() && !(*length == d))
      return invalid("input {} has {} slices along axis {}, the first scanned value {}", i, d.str(), a, length->str());
    if (!length || d.is_constant()) length = d;  // a symbol next to a number must be that number
    params.back().values.reset();
    params.back().shape.erase(params.back().shape.begin() + a);
  }
  CARNOT_ASSIGN(Carried carried, infer_carried(ctx, params, 0, 0, states));
  if (ctx.outputs() > carried.body.size())
    return invalid("the node has {} outputs, its body gives {}", ctx.outputs(), carried.body.size());
  Facts out = std::move(carried.results);
  const std::set<std::string> known = known_symbols(ctx);
  for (size_t i = states; i < ctx.outputs(); ++i) {
    ValueFacts stacked{carried.body[i].dtype, outside_shape(ctx, carried.body[i].shape, known)};
    CARNOT_ASSIGN(const int64_t a, normalize_axis(entry(scan_output_axes, i - states), stacked.shape.size() + 1));
    stacked.shape.insert(stacked.shape.begin() + a, *length);
    out.push_back(std::move(stacked));
  }
  return out;
}

Status Scan::evaluate(EvalCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check(*this, ctx.in.size(), ctx.out.size()));
  const auto states = static_cast<size_t>(num_state), scanned = static_cast<size_t>(num_scan_inputs);
  const auto inputs = ctx.in.subspan(states, scanned), captures = ctx.in.subspan(states + scanned);
  std::vector<int64_t> axes;
  std::vector<TensorView> slices;
  std::vector<AlignedPtr> memory;
  int64_t length = 0;
  for (size_t i = 0; i < scanned; ++i) {
    const TensorView& x = inputs[i];
    CARNOT_ASSIGN(const int64_t a, normalize_axis(entry(scan_input_axes, i), x.rank()));
    const int64_t n = x.dims[static_cast<size_t>(a)];
    if (i > 0 && n != length)
      return invalid("input {} has {} slices along axis {}, the first scanned value {}", states + i, n, a, length);
    length = n;
    axes.push_back(a);
    slices.push_back(x);
    slices.back().dims.erase(slices.back().dims.begin() + a);
    const size_t bytes = std::max<size_t>(1, slices.back().bytes());
    memory.push_back(aligned_allocate(bytes));
    if (!memory.back())
      return fail(Code::kOutOfMemory, "no memory for a slice of shape {}", to_string(slices.back().dims));
    std::memset(memory.back().get(), 0, bytes);
    slices.back().data = memory.back().get();
  }
  CarriedValues state;
  CARNOT_RETURN_IF_ERROR(state.set(ctx.in.first(states)));
  std::vector<Stack> stacks(ctx.out.size() - states);
  auto run = [&]() -> Result<std::vector<TensorView>> {
    std::vector<TensorView> args = state.views();
    args.insert(args.end(), slices.begin(), slices.end());
    args.insert(args.end(), captures.begin(), captures.end());
    auto results = ctx.run_body(0, args);
    if (results && results->size() < states + stacks.size())
      return fail(Code::kInternal, "the body gives {} results, {} are wanted", results->size(), states + stacks.size());
    return results;
  };
  for (int64_t n = 0; n < length; ++n) {
    for (size_t i = 0; i < scanned; ++i)
      copy_slice(inputs[i], axes[i], entry(scan_input_directions, i) ? length - 1 - n : n, slices[i]);
    CARNOT_ASSIGN(const std::vector<TensorView> results, run());
    for (size_t s = 0; s < stacks.size(); ++s) CARNOT_RETURN_IF_ERROR(stacks[s].push(results[states + s]));
    CARNOT_RETURN_IF_ERROR(state.set(std::span(results).first(states)));
  }
  for (size_t i = 0; i < states; ++i) {
    if (!ctx.wants(i)) continue;
    const TensorView& value = state.views()[i];
    CARNOT_RETURN_IF_ERROR(ctx.allocate(i, value.dims));
    if (value.bytes() > 0) std::memcpy(ctx.out[i].data, value.data, value.bytes());
  }
  // A stack of nothing takes its other dims from a run on zeros whose results are thrown away.
  std::vector<TensorView> shapes;
  if (length == 0 && !stacks.empty()) {
    CARNOT_ASSIGN(shapes, run());
  }
  for (size_t s = 0; s < stacks.size(); ++s)
    CARNOT_RETURN_IF_ERROR(stacks[s].finish(ctx, states + s, entry(scan_output_axes, s),
                                            entry(scan_output_directions, s) != 0,
                                            shapes.empty() ? TensorView{} : shapes[states + s]));
  return {};
}

CARNOT_DEFINE_OPS(scan, Scan)

}  // namespace carnot::ops
