// SPDX-License-Identifier: Apache-2.0
#include "runtime/memory_report.hpp"

#include <algorithm>
#include <set>

#include "runtime/frame_detail.hpp"
#include "runtime/json.hpp"

namespace carnot::runtime {
namespace {

// The largest inputs that the engine admits; none where there are no bounds.
std::vector<TensorView> largest_inputs(const engine::Program& program) {
  std::vector<TensorView> inputs;
  for (size_t i = 0; i < program.input_names.size(); ++i) {
    const engine::Buffer& buffer = program.plans[0].buffers[static_cast<size_t>(program.plans[0].inputs[i])];
    const engine::InputRange* const range = program.range_of(i);
    if (range ? !range->bounded() : !is_static(buffer.shape)) return {};
    inputs.push_back({buffer.dtype, range ? range->max : to_dims(buffer.shape), nullptr});
  }
  return inputs;
}

void write(JsonWriter& json, std::string_view prefix, const ArenaReport& report, const engine::Plan& plan, bool with_workspace) {
  json.field(fmt::format("{}working_bytes", prefix), static_cast<int64_t>(report.bytes));
  if (with_workspace) json.field(fmt::format("{}workspace_bytes", prefix), static_cast<int64_t>(report.workspace));
  if (report.peak_command < 0) return;
  const engine::Command& command = plan.commands[static_cast<size_t>(report.peak_command)];
  json.key(fmt::format("{}peak", prefix));
  json.begin_object();
  json.field("bytes", static_cast<int64_t>(report.peak));
  json.field("command", static_cast<int64_t>(report.peak_command));
  json.field("kernel", command.kernel);
  json.field("where", command.where);
  json.end_object();
}

}  // namespace

SharingReport report_sharing(const LoadedEngine& engine) {
  const LoadedPlan& loaded = engine.plans()[0];
  const engine::Plan& plan = *loaded.plan;
  std::vector<const engine::Command*> writer(plan.buffers.size(), nullptr);
  for (const engine::Command& c : plan.commands)
    for (int32_t b : c.outputs) writer[static_cast<size_t>(b)] = &c;
  std::set<std::string> known;  // before the run
  for (int32_t b : plan.inputs)
    for (const Dim& d : plan.buffers[static_cast<size_t>(b)].shape) d.collect_symbols(known);
  const auto is_known = [&](const Dim& d) {
    std::set<std::string> symbols;
    d.collect_symbols(symbols);
    return std::includes(known.begin(), known.end(), symbols.begin(), symbols.end());
  };
  SharingReport report;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const engine::Buffer& buffer = plan.buffers[b];
    if (buffer.kind != engine::BufferKind::kTemp || loaded.first[b] < 0) continue;
    ++report.values;
    report.sized_by_run += !std::all_of(buffer.shape.begin(), buffer.shape.end(), is_known);
    if (buffer.alias < 0) continue;
    const engine::Buffer& owner = plan.buffers[static_cast<size_t>(buffer.alias)];
    const bool whole = buffer.pitch == owner.pitch && buffer.alias_offset == 0 && dtype_size(buffer.dtype) == dtype_size(owner.dtype) && size_of(buffer.shape) == size_of(owner.shape);
    const auto reads_owner = [&](const engine::Command& c) { return std::find(c.inputs.begin(), c.inputs.end(), buffer.alias) != c.inputs.end(); };
    ++(!whole ? report.parts : writer[b] && reads_owner(*writer[b]) ? report.in_place : writer[b] ? report.parts : report.views);
  }
  return report;
}

Result<MemoryReport> Frame::report_memory(std::span<const TensorView> inputs) {
  CARNOT_ASSIGN(const Resolved* const resolved, resolve(inputs, nullptr));
  MemoryReport report;
  report.host.bytes = resolved->arena_bytes;
  report.host.workspace = resolved->workspace_bytes;
  report.device.bytes = resolved->device_arena_bytes;
  report.device.workspace = resolved->device_workspace_bytes;
  const engine::Plan& plan = *plan_.plan;
  for (const engine::Place place : {engine::Place::kHost, engine::Place::kDevice}) {
    ArenaReport& arena = place == engine::Place::kHost ? report.host : report.device;
    // What begins and ends at each command; outputs live until behind the last.
    std::vector<int64_t> change(plan.commands.size() + 2, 0);
    for (size_t b = 0; b < plan.buffers.size(); ++b) {
      const engine::Buffer& buffer = plan.buffers[b];
      if (buffer.place != place || buffer.kind != engine::BufferKind::kTemp || buffer.alias >= 0 || resolved->dynamic[b] || plan_.first[b] < 0) continue;
      const auto bytes = size_of(resolved->dims[b]) * static_cast<int64_t>(dtype_size(buffer.dtype));
      change[static_cast<size_t>(plan_.first[b])] += bytes;
      change[static_cast<size_t>(plan_.last[b]) + 1] -= bytes;
    }
    int64_t alive = 0;
    for (size_t c = 0; c < plan.commands.size(); ++c) {
      alive += change[c];
      if (static_cast<uint64_t>(alive) <= arena.peak) continue;
      arena.peak = static_cast<uint64_t>(alive);
      arena.peak_command = static_cast<int32_t>(c);
    }
  }
  return report;
}

Result<std::string> memory_json(const std::shared_ptr<const LoadedEngine>& engine, std::span<const TensorView> inputs, std::shared_ptr<ThreadPool> pool) {
  const engine::Program& program = engine->program();
  const engine::Plan& plan = program.plans[0];
  if (!inputs.empty() && inputs.size() != plan.inputs.size()) return invalid("the engine has {} inputs, {} shapes were given", plan.inputs.size(), inputs.size());
  std::vector<TensorView> views(inputs.begin(), inputs.end());
  if (views.empty()) views = largest_inputs(program);
  for (size_t i = 0; i < views.size(); ++i) views[i].dtype = plan.buffers[static_cast<size_t>(plan.inputs[i])].dtype;
  const bool known = views.size() == plan.inputs.size();
  JsonWriter json;
  json.begin_object();
  json.field("weights_bytes", static_cast<int64_t>(engine->constants_size()));
  if (known) {
    Context context{.engine = engine, .pool = pool};
    Frame frame(context, 0);
    CARNOT_ASSIGN(const MemoryReport report, frame.report_memory(views));
    json.key("shapes");
    json.begin_object();
    for (size_t i = 0; i < views.size(); ++i) {
      json.key(program.input_names[i]);
      json.begin_array();
      for (int64_t d : views[i].dims) json.value(d);
      json.end_array();
    }
    json.end_object();
    json.field("threads", static_cast<int64_t>(pool->threads()));
    write(json, "", report.host, plan, true);
    if (!program.device_kind().empty()) write(json, "device_", report.device, plan, false);
  }
  const SharingReport sharing = report_sharing(*engine);
  json.field("values", sharing.values);
  json.field("views", sharing.views);
  json.field("in_place", sharing.in_place);
  json.field("parts", sharing.parts);
  json.field("sized_by_run", sharing.sized_by_run);
  json.end_object();
  return json.take();
}

}  // namespace carnot::runtime
