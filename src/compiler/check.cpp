// SPDX-License-Identifier: Apache-2.0
#include "compiler/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

#include "compiler/trial.hpp"
#include "engine/reader.hpp"
#include "ir/interpret.hpp"
#include "runtime/frame.hpp"

namespace carnot::compiler {
namespace {

// x with axis 1 moved to the end: element order of channels last.
std::vector<double> with_channels_last(const std::vector<double>& x, const Dims& dims) {
  int64_t inner = 1;
  for (size_t a = 2; a < dims.size(); ++a) inner *= dims[a];
  std::vector<double> out(x.size());
  for (int64_t n = 0; n < dims[0]; ++n)
    for (int64_t c = 0; c < dims[1]; ++c)
      for (int64_t i = 0; i < inner; ++i) out[static_cast<size_t>((n * inner + i) * dims[1] + c)] = x[static_cast<size_t>((n * dims[1] + c) * inner + i)];
  return out;
}

Difference compare_elements(const std::vector<double>& wanted, const std::vector<double>& got, bool real) {
  Difference d;
  double low = std::numeric_limits<double>::infinity(), high = -low, dot = 0, norm_wanted = 0, norm_got = 0;
  size_t differ = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double p = wanted[i], q = got[i];
    if (std::isfinite(p)) low = std::min(low, p), high = std::max(high, p);
    if (p == q || (std::isnan(p) && std::isnan(q))) {
      if (std::isfinite(p)) dot += p * q, norm_wanted += p * p, norm_got += q * q;
      continue;
    }
    ++differ;
    if (!std::isfinite(p) || !std::isfinite(q)) {
      if (d.problem.empty()) d.problem = fmt::format("element {} is {} instead of {}", i, q, p);
      continue;
    }
    d.max_abs = std::max(d.max_abs, std::abs(p - q));
    dot += p * q, norm_wanted += p * p, norm_got += q * q;
  }
  // A value that is the same everywhere has no range: its size takes the place.
  const double range = high > low ? high - low : std::max(std::abs(high), 1e-30);
  d.relative = !real ? (wanted.empty() ? 0.0 : static_cast<double>(differ) / static_cast<double>(wanted.size())) : d.max_abs == 0 ? 0 : d.max_abs / range;
  d.cosine = norm_wanted > 0 && norm_got > 0 ? dot / std::sqrt(norm_wanted) / std::sqrt(norm_got) : norm_wanted == norm_got ? 1 : 0;
  return d;
}

std::string line_of(const CheckedValue& v) {
  const std::string numbers = v.difference.problem.empty()
                                  ? fmt::format("max error {:.3g}, {:.3g} of the range, cosine {:.9f}", v.difference.max_abs, v.difference.relative, v.difference.cosine)
                                  : v.difference.problem;
  return v.where.empty() ? fmt::format("output '{}': {}", v.name, numbers) : fmt::format("{} on {}, value '{}': {}", v.where, v.kernel, v.name, numbers);
}

double badness(const CheckedValue& v) { return v.difference.problem.empty() ? v.difference.relative / v.tolerance : std::numeric_limits<double>::infinity(); }

Status fetch(runtime::Context& context, const TensorView& from, Constant& to) {
  context.busy = true;
  if (to.bytes() > 0) CARNOT_RETURN_IF_ERROR(context.stream->copy(to.mutable_data(), from.data, to.bytes()));
  return context.wait();
}

// Rows that lie apart (TensorView::pitch) come together.
Constant dense_copy(const TensorView& view) {
  if (view.pitch == 0 || view.size() == 0) return Constant::copy_of(view.dtype, view.dims, view.data);
  Constant copy = Constant::allocate(view.dtype, view.dims);
  const size_t row = static_cast<size_t>(view.dims.back()) * dtype_size(view.dtype), step = static_cast<size_t>(view.pitch) * dtype_size(view.dtype);
  for (size_t r = 0; r < copy.bytes() / row; ++r) std::memcpy(static_cast<char*>(copy.mutable_data()) + r * row, view.as<char>() + r * step, row);
  return copy;
}

}  // namespace

Difference compare_values(const TensorView& wanted, const TensorView& got, bool channels_last) {
  if (wanted.dtype != got.dtype && !(is_float(wanted.dtype) && is_float(got.dtype)))
    return {.problem = fmt::format("it is {} instead of {}", dtype_name(got.dtype), dtype_name(wanted.dtype))};
  Dims last = wanted.dims;
  if (last.size() > 2) std::rotate(last.begin() + 1, last.begin() + 2, last.end());
  const bool moved = channels_last && last.size() > 2 && got.dims == last;
  if (wanted.dims != got.dims && !moved) return {.problem = fmt::format("its shape is {} instead of {}", to_string(got.dims), to_string(wanted.dims))};
  auto p = to_doubles(wanted), q = to_doubles(got);
  if (!p || !q) return {};
  const bool real = is_float(wanted.dtype);
  Difference best;
  const bool plain = wanted.dims == got.dims;
  if (plain) best = compare_elements(*p, *q, real);
  // Where both readings fit the shape, the better one is meant.
  if (moved && !(plain && best.problem.empty() && best.relative == 0)) {
    Difference other = compare_elements(with_channels_last(*p, wanted.dims), *q, real);
    if (!plain || (other.problem.empty() && other.relative < best.relative)) best = std::move(other);
  }
  return best;
}

bool CheckReport::passed() const {
  return std::all_of(outputs.begin(), outputs.end(), [](const CheckedValue& v) { return v.passed(); });
}

std::vector<CheckedValue> CheckReport::worst(size_t count) const {
  std::vector<CheckedValue> sorted = layers;
  std::stable_sort(sorted.begin(), sorted.end(), [](const CheckedValue& a, const CheckedValue& b) { return badness(a) > badness(b); });
  sorted.resize(std::min(count, sorted.size()));
  return sorted;
}

const CheckedValue* CheckReport::first_bad() const {
  auto it = std::find_if(layers.begin(), layers.end(), [](const CheckedValue& v) { return !v.passed(); });
  return it == layers.end() ? nullptr : &*it;
}

std::string CheckReport::str(size_t count) const {
  std::string text = fmt::format("check against the reference, with {}\n", inputs);
  for (const CheckedValue& v : outputs) text += fmt::format("  {}, {} (tolerance {:g})\n", line_of(v), v.passed() ? "good" : "OUT OF TOLERANCE", v.tolerance);
  if (const CheckedValue* first = first_bad(); first && !passed()) text += fmt::format("  first layer out of tolerance: {}\n", line_of(*first));
  const auto list = worst(count);
  if (!list.empty()) text += fmt::format("  worst of the {} layers that could be compared:\n", layers.size());
  for (const CheckedValue& v : list) text += fmt::format("    {}\n", line_of(v));
  return text;
}

double check_tolerance(std::string_view precision) {
  static const std::map<std::string_view, double> table{{"fp32", 1e-4}, {"tf32", 5e-3}, {"fp16", 1e-2}, {"bf16", 5e-2}, {"int8", 0.1}, {"fp8", 0.1}};
  auto it = table.find(precision);
  return it == table.end() ? 1e-4 : it->second;
}

Result<CheckReport> check_engine(const ir::Graph& source, std::span<const std::byte> bytes, std::span<const std::string> sources, const CheckOptions& options) {
  CheckReport report;
  CARNOT_ASSIGN(const std::vector<Constant> inputs, trial_inputs(source, options.sizes, options.seed));
  std::vector<TensorView> views;
  for (size_t i = 0; i < inputs.size(); ++i) {
    views.push_back(inputs[i].view());
    report.inputs += fmt::format("{}{} {}{}", i ? ", " : "", source.inputs()[i]->name, dtype_name(inputs[i].dtype), to_string(inputs[i].dims));
  }
  if (inputs.empty()) report.inputs = "no inputs";

  CARNOT_ASSIGN(engine::Image image, engine::read_bytes(bytes, nullptr));
  CARNOT_ASSIGN(const auto engine, runtime::LoadedEngine::create(std::move(image)));
  runtime::Context context{.engine = engine, .pool = shared_thread_pool(options.threads)};
  CARNOT_ASSIGN(context.on_device, engine->on_device(options.device));
  Status fetched;
  // The engine runs first and its inner values are kept; the reference's are looked at as they come and let go.
  struct Kept {
    size_t command;
    Constant value;
  };
  std::multimap<std::string, Kept, std::less<>> kept;
  const engine::Plan& network = engine->program().plans[0];
  context.observe = [&](const engine::Plan& plan, size_t c, std::span<const TensorView> results) {
    if (&plan != &network) return;
    for (size_t i = 0; i < results.size(); ++i) {
      const auto buffer = static_cast<size_t>(plan.commands[c].outputs[i]);
      if (buffer >= sources.size() || sources[buffer].empty() || dtype_size(results[i].dtype) == 0) continue;
      const bool away = plan.buffers[buffer].place == engine::Place::kDevice;
      Constant value = away ? Constant::allocate(results[i].dtype, results[i].dims) : dense_copy(results[i]);
      if (away) fetched = fetched ? fetch(context, results[i], value) : fetched;
      kept.emplace(sources[buffer], Kept{c, std::move(value)});
    }
  };
  if (context.on_device) {
    // Commands one by one: a segment that runs as one shows the results of its last command alone.
    context.profile = true;
    CARNOT_ASSIGN(context.stream, context.on_device->device().make_stream());
  }
  runtime::Frame frame(context, 0);
  CARNOT_RETURN_IF_ERROR(frame.run(views, {}, {}, nullptr));
  CARNOT_RETURN_IF_ERROR(fetched);

  double all = 0, done = 0;
  for (const auto& node : source.nodes()) all += tactics::work_of(*node, options.sizes);
  std::vector<std::pair<size_t, CheckedValue>> layers;
  auto observer = [&](const ir::Node& node, std::span<const Constant> results) -> Status {
    for (size_t i = 0; i < results.size(); ++i) {
      auto [begin, end] = kept.equal_range(node.outputs[i]->name);
      for (auto it = begin; it != end; ++it) {
        const engine::Command& command = network.commands[it->second.command];
        const double tolerance = is_float(results[i].dtype) ? options.tolerance : kIntegerTolerance;
        layers.emplace_back(it->second.command, CheckedValue{it->first, command.where, command.kernel, compare_values(results[i].view(), it->second.value.view(), true), tolerance});
      }
      kept.erase(begin, end);
    }
    done += tactics::work_of(node, options.sizes);
    if (options.progress && !options.progress(done / all)) return fail(Code::kCancelled, "the check was cancelled");
    return {};
  };
  auto wanted = ir::interpret(source, views, observer);
  if (!wanted && wanted.error().code == Code::kCancelled) return fail(Code::kCancelled, "the check was cancelled");
  if (!wanted) return std::move(wanted.error()).within(fmt::format("the reference cannot run with {}; other sizes can be given with --shape", report.inputs));
  std::stable_sort(layers.begin(), layers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [command, layer] : layers) report.layers.push_back(std::move(layer));
  for (size_t i = 0; i < wanted->size(); ++i) {
    const Constant& w = (*wanted)[i];
    report.outputs.push_back({source.output_names()[i], "", "", compare_values(w.view(), frame.output(i)), is_float(w.dtype) ? options.tolerance : kIntegerTolerance});
  }
  return report;
}

}  // namespace carnot::compiler
