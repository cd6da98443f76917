// SPDX-License-Identifier: Apache-2.0
#include "runtime/program.hpp"

#include <algorithm>
#include <set>

#include "device/backend.hpp"
#include "runtime/json.hpp"

namespace carnot::runtime {
namespace {

Result<LoadedCommand> load_command(const engine::Program& program, const engine::Command& c) {
  LoadedCommand loaded;
  loaded.command = &c;
  loaded.copies = c.kernel == engine::kCopyKernel;
  loaded.on_device = engine::runs_on(program, c) == engine::Place::kDevice;
  if (loaded.copies || loaded.on_device) return loaded;
  if (c.kernel.starts_with("ref:")) {
    CARNOT_ASSIGN(loaded.op, ops::make_op(c.kernel.substr(4), c.params));
    const auto bodies = static_cast<size_t>(loaded.op.info().bodies);
    if (c.bodies.size() != bodies)
      return fail(Code::kDataCorrupt, "operator '{}' has {} bodies, the engine gives {}", loaded.op.name(), bodies, c.bodies.size());
    auto present = std::make_unique<bool[]>(c.inputs.size());
    for (size_t i = 0; i < c.inputs.size(); ++i) present[i] = c.inputs[i] >= 0;
    CARNOT_RETURN_IF_ERROR(ops::check_arity(loaded.op.info(), {present.get(), c.inputs.size()}, c.outputs.size()));
    return loaded;
  }
  const cpu::KernelRow* row = cpu::find_kernel(c.kernel);
  if (!row)
    return fail(Code::kNotFound, "this runtime has no kernel '{}'; build the engine again with this version or update the runtime", c.kernel);
  CARNOT_ASSIGN(loaded.kernel, row->make(c.params));
  CARNOT_RETURN_IF_ERROR(loaded.kernel->check_operands(c.inputs.size(), c.outputs.size()));
  return loaded;
}

void find_lifetimes(LoadedPlan& loaded) {
  const engine::Plan& plan = *loaded.plan;
  const size_t n = plan.buffers.size();
  loaded.first.assign(n, -1);
  loaded.last.assign(n, -1);
  loaded.root.resize(n);
  loaded.is_output.assign(n, false);
  for (size_t b = 0; b < n; ++b) loaded.root[b] = plan.buffers[b].alias < 0 ? static_cast<int32_t>(b) : loaded.root[static_cast<size_t>(plan.buffers[b].alias)];
  auto touch = [&](int32_t b, int32_t when) {
    for (const auto i : {static_cast<size_t>(b), static_cast<size_t>(loaded.root[static_cast<size_t>(b)])}) {
      if (loaded.first[i] < 0) loaded.first[i] = when;
      loaded.last[i] = std::max(loaded.last[i], when);
    }
  };
  for (size_t c = 0; c < plan.commands.size(); ++c) {
    for (int32_t b : plan.commands[c].outputs) touch(b, static_cast<int32_t>(c));
    for (int32_t b : plan.commands[c].inputs)
      if (b >= 0) touch(b, static_cast<int32_t>(c));
  }
  for (int32_t b : plan.outputs) {
    touch(b, static_cast<int32_t>(plan.commands.size()));
    loaded.is_output[static_cast<size_t>(b)] = true;
  }
}

// A command may only read memory that an earlier one wrote into: otherwise a hostile engine could read what something else left
// there. Buffers that share memory (views, parts of a concatenation) count as one.
Status check_order(const LoadedPlan& loaded) {
  const engine::Plan& plan = *loaded.plan;
  std::vector<bool> written(plan.buffers.size());
  for (size_t b = 0; b < written.size(); ++b) written[b] = plan.buffers[b].kind != engine::BufferKind::kTemp;
  const auto root = [&](int32_t b) { return static_cast<size_t>(loaded.root[static_cast<size_t>(b)]); };
  for (const engine::Command& c : plan.commands) {
    for (int32_t b : c.inputs)
      if (b >= 0 && !written[root(b)]) return fail(Code::kDataCorrupt, "the engine is damaged: a command reads what nobody wrote");
    for (int32_t b : c.outputs) written[root(b)] = true;
  }
  for (int32_t b : plan.outputs)
    if (!written[root(b)]) return fail(Code::kDataCorrupt, "the engine is damaged: an output is never written");
  return {};
}

// The float types that a command reads and writes: "f16", "f32>f16" where it changes them, "-" without floats.
std::string precision_of(const engine::Plan& plan, const engine::Command& c) {
  auto first_float = [&](const std::vector<int32_t>& list) {
    for (int32_t b : list)
      if (b >= 0 && is_float(plan.buffers[static_cast<size_t>(b)].dtype)) return plan.buffers[static_cast<size_t>(b)].dtype;
    return DType::kInvalid;
  };
  const DType in = first_float(c.inputs), out = first_float(c.outputs);
  if (in == DType::kInvalid && out == DType::kInvalid) return "-";
  if (in == out || in == DType::kInvalid) return std::string(dtype_name(out));
  if (out == DType::kInvalid) return std::string(dtype_name(in));
  return fmt::format("{}>{}", dtype_name(in), dtype_name(out));
}

// Which copies are the caller's, and what the host looks at.
void find_copies(LoadedPlan& loaded) {
  const engine::Plan& plan = *loaded.plan;
  const size_t n = plan.buffers.size();
  loaded.host_reads.assign(n, false);
  loaded.copied.assign(n, false);
  loaded.output_copy.assign(plan.outputs.size(), -1);
  const auto root = [&](int32_t b) { return static_cast<size_t>(loaded.root[static_cast<size_t>(b)]); };
  std::vector<int> touched(n, 0);
  for (const LoadedCommand& c : loaded.commands) {
    loaded.uses_device = loaded.uses_device || c.on_device || c.copies;
    for (const auto* list : {&c.command->inputs, &c.command->outputs})
      for (int32_t b : *list)
        if (b >= 0) ++touched[root(b)];
    if (!c.copies && !c.on_device)
      for (int32_t b : c.command->inputs)
        if (b >= 0) loaded.host_reads[root(b)] = true;
  }
  for (int32_t b : plan.outputs) loaded.host_reads[root(b)] = loaded.host_reads[root(b)] || plan.buffers[root(b)].kind == engine::BufferKind::kInput;
  for (LoadedCommand& c : loaded.commands) {
    if (!c.copies) continue;
    const int32_t from = c.command->inputs[0], to = c.command->outputs[0];
    const auto from_host = plan.buffers[static_cast<size_t>(from)].place == engine::Place::kHost;
    c.copies_input = plan.buffers[static_cast<size_t>(from)].kind == engine::BufferKind::kInput;
    const auto it = std::find(plan.outputs.begin(), plan.outputs.end(), to);
    if (!from_host && it != plan.outputs.end() && std::count(plan.outputs.begin(), plan.outputs.end(), to) == 1 && loaded.root[static_cast<size_t>(to)] == to && touched[root(to)] == 1)
      loaded.output_copy[static_cast<size_t>(c.copies_output = static_cast<int32_t>(it - plan.outputs.begin()))] = static_cast<int32_t>(&c - loaded.commands.data());
    else
      loaded.copied[root(from)] = loaded.copied[root(to)] = true;
  }
}

// Rows that lie apart are for kernels that know them: the others would read and write between the rows, and behind the last.
Status check_pitches(const LoadedPlan& loaded) {
  const engine::Plan& plan = *loaded.plan;
  for (const LoadedCommand& c : loaded.commands)
    for (const bool result : {false, true}) {
      const std::vector<int32_t>& operands = result ? c.command->outputs : c.command->inputs;
      for (size_t i = 0; i < operands.size(); ++i)
        if (operands[i] >= 0 && plan.buffers[static_cast<size_t>(operands[i])].pitch != 0 && !(c.kernel && c.kernel->takes_pitch(result, i)))
          return fail(Code::kDataCorrupt, "the engine is damaged: '{}' is given a tensor whose rows lie apart", c.command->kernel);
    }
  return {};
}

}  // namespace

Result<std::shared_ptr<const LoadedEngine>> LoadedEngine::create(engine::Image image) {
  auto engine = std::make_shared<LoadedEngine>();
  engine->image_ = std::move(image);
  for (const engine::Plan& plan : engine->image_.program.plans) {
    LoadedPlan loaded;
    loaded.plan = &plan;
    for (const engine::Command& c : plan.commands) {
      auto command = load_command(engine->image_.program, c);
      if (!command) return std::move(command.error()).within(fmt::format("command '{}' of {}", c.kernel, c.where));
      if (command->on_device && attr_or<int64_t>(c.params, "complains", 0) != 0) {
        command->complaint = static_cast<int32_t>(engine->complainers_.size());
        engine->complainers_.push_back(&c);
      }
      loaded.commands.push_back(std::move(*command));
    }
    CARNOT_RETURN_IF_ERROR(check_pitches(loaded));
    find_lifetimes(loaded);
    CARNOT_RETURN_IF_ERROR(check_order(loaded));
    find_copies(loaded);
    std::set<std::string> symbols;
    for (const engine::Buffer& b : plan.buffers)
      for (const Dim& d : b.shape) d.collect_symbols(symbols);
    loaded.symbols.assign(symbols.begin(), symbols.end());
    engine->plans_.push_back(std::move(loaded));
  }
  return std::shared_ptr<const LoadedEngine>(std::move(engine));
}

Result<std::shared_ptr<const LoadedEngine>> LoadedEngine::load(const std::string& path) {
  CARNOT_ASSIGN(engine::Image image, engine::read_file(path));
  auto engine = create(std::move(image));
  if (!engine) return std::move(engine.error()).within(path);
  return engine;
}

Result<std::shared_ptr<const OnDevice>> LoadedEngine::on_device(const std::string& name) const {
  const std::string kind = program().device_kind();
  if (kind.empty()) {
    if (name.empty() || name == "cpu") return std::shared_ptr<const OnDevice>();
    return invalid("the engine was built for the CPU, it cannot run on '{}'; build it with --device {}", name, name.substr(0, name.find(':')));
  }
  int ordinal = 0;
  if (!name.empty() && name != kind) {
    CARNOT_ASSIGN(const device::DeviceName wanted, device::parse_device(name));
    if (wanted.kind != kind) return invalid("the engine was built for '{}', it cannot run on '{}'; build it with --device {}", program().target, name, name);
    ordinal = wanted.ordinal;
  }
  const std::lock_guard lock(mutex_);
  if (auto known = on_device_[ordinal].lock()) return known;
  auto made = OnDevice::create(image_, kind, ordinal);
  if (!made) return std::move(made.error()).within(fmt::format("the engine is for '{}'", program().target));
  on_device_[ordinal] = *made;
  return *made;
}

std::string LoadedEngine::describe_json() const {
  const engine::Program& p = program();
  JsonWriter json;
  json.begin_object();
  json.field("producer", p.producer);
  json.field("target", p.target);
  json.field("constant_bytes", static_cast<int64_t>(constants_size()));
  auto map = [&](std::string_view key, const std::map<std::string, std::string>& entries) {
    json.key(key);
    json.begin_object();
    for (const auto& [k, v] : entries) json.field(k, v);
    json.end_object();
  };
  map("build", p.build);
  map("metadata", p.metadata);
  auto numbers = [&](std::string_view key, const Dims& dims) {
    json.key(key);
    json.begin_array();
    for (int64_t d : dims) json.value(d);
    json.end_array();
  };
  auto io = [&](std::string_view key, const std::vector<std::string>& names, const std::vector<int32_t>& buffers, bool inputs) {
    json.key(key);
    json.begin_array();
    for (size_t i = 0; i < names.size(); ++i) {
      const engine::Buffer& b = p.plans[0].buffers[static_cast<size_t>(buffers[i])];
      json.begin_object();
      json.field("name", names[i]);
      json.field("dtype", dtype_name(b.dtype));
      json.field("shape", to_string(b.shape));
      if (const engine::InputRange* range = inputs ? p.range_of(i) : nullptr) {
        json.field("range", to_string(*range));
        numbers("min", range->min);
        numbers("opt", range->opt);
        numbers("max", range->max);
      }
      json.end_object();
    }
    json.end_array();
  };
  io("inputs", p.input_names, p.plans[0].inputs, true);
  io("outputs", p.output_names, p.plans[0].outputs, false);
  json.key("plans");
  json.begin_array();
  for (const engine::Plan& plan : p.plans) {
    json.begin_object();
    json.field("buffers", static_cast<int64_t>(plan.buffers.size()));
    json.key("commands");
    json.begin_array();
    for (const engine::Command& c : plan.commands) {
      json.begin_object();
      json.field("kernel", c.kernel);
      json.field("device", c.kernel != engine::kCopyKernel ? (engine::runs_on(p, c) == engine::Place::kDevice ? p.device_kind() : "cpu")
                           : plan.buffers[static_cast<size_t>(c.outputs[0])].place == engine::Place::kDevice ? "cpu -> " + p.device_kind() : p.device_kind() + " -> cpu");
      if (c.kernel == engine::kCopyKernel) {
        const engine::Buffer& b = plan.buffers[static_cast<size_t>(c.outputs[0])];
        json.field("bytes", (size_of(b.shape) * Dim(static_cast<int64_t>(dtype_size(b.dtype)))).str());
      }
      json.field("where", c.where);
      json.field("note", c.note);
      json.field("precision", precision_of(plan, c));
      auto shapes = [&](std::string_view key, const std::vector<int32_t>& list) {
        json.key(key);
        json.begin_array();
        for (int32_t b : list)
          json.value(b < 0 ? std::string("-")
                           : std::string(dtype_name(plan.buffers[static_cast<size_t>(b)].dtype)) + to_string(plan.buffers[static_cast<size_t>(b)].shape));
        json.end_array();
      };
      shapes("inputs", c.inputs);
      shapes("outputs", c.outputs);
      json.end_object();
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.take();
}

}  // namespace carnot::runtime
