// SPDX-License-Identifier: Apache-2.0
#include "compiler/plan_builder.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "backends/cpu/kernel.hpp"
#include "compiler/share_memory.hpp"

namespace carnot::compiler {
namespace {

using engine::Buffer;
using engine::BufferKind;
using engine::Command;
using engine::Place;
using engine::Plan;

std::set<std::string> symbols_of(const Shape& shape) {
  std::set<std::string> out;
  for (const Dim& d : shape) d.collect_symbols(out);
  return out;
}

// Constants of all plans, each byte string stored once.
class ConstantPool {
 public:
  explicit ConstantPool(BuiltProgram& built) : built_(built) {}
  uint64_t add(const Constant& c) {
    const auto [range_begin, range_end] = by_size_.equal_range(c.bytes());
    for (auto it = range_begin; it != range_end; ++it) {
      const engine::ConstantPiece& piece = built_.constants[it->second];
      if (piece.data == c.data || c.bytes() == 0 || std::memcmp(piece.data, c.data, c.bytes()) == 0) return piece.offset;
    }
    by_size_.emplace(c.bytes(), built_.constants.size());
    built_.constants.push_back({next_, c.data, c.bytes(), c.owner});
    const uint64_t at = next_;
    next_ += (c.bytes() + 63) / 64 * 64;
    return at;
  }

 private:
  BuiltProgram& built_;
  std::unordered_multimap<size_t, size_t> by_size_;
  uint64_t next_ = 0;
};

class PlanBuilder {
 public:
  PlanBuilder(BuiltProgram& built, ConstantPool& pool, const Assignment& assignment, const std::string& device)
      : built_(built), pool_(pool), assignment_(assignment), device_(device) {}

  // Fills program.plans[index]; bodies get higher indices.
  Status build(const ir::Graph& graph, size_t index, const std::set<std::string>& outer_symbols) {
    known_ = outer_symbols;
    for (const auto& node : graph.nodes())
      for (const ir::Value* v : node->inputs)
        if (v) users_[v].push_back(node.get());
    for (const ir::Value* v : graph.inputs()) {
      buffers_[v] = add_buffer({v->dtype(), BufferKind::kInput, v->shape()});
      plan_.inputs.push_back(buffers_[v]);
      for (const Dim& d : v->shape())
        if (auto s = d.as_symbol()) known_.insert(*s);
    }
    for (const auto& node : graph.nodes()) {
      auto status = add_node(*node);
      if (!status) return ir::at(node.get(), std::move(status.error()));
    }
    // The caller's copy is his alone, so that the runtime may write it straight to where he wants it.
    for (const ir::Value* v : graph.outputs()) {
      const int32_t b = buffer_of(v);
      plan_.outputs.push_back(place_of(b) == Place::kHost ? b : add_copy(b, Place::kHost, v->name, plan_.commands.size()));
    }
    hoist_input_copies();
    drop_dead_commands();
    std::vector<std::unique_ptr<cpu::Kernel>> kernels;
    for (const Command& c : plan_.commands) {
      const cpu::KernelRow* row = cpu::find_kernel(c.kernel);
      auto made = row ? row->make(c.params) : Result<std::unique_ptr<cpu::Kernel>>(std::unique_ptr<cpu::Kernel>());
      kernels.push_back(made ? std::move(*made) : nullptr);
    }
    SharingHints hints{in_place_, [this](const Shape& shape) { return sized_before_run(shape); },
                       [&](size_t c, bool result, size_t i) { return kernels[c] && kernels[c]->takes_pitch(result, i); },
                       [this](int32_t b) { return constant_integers(b); }};
    const std::vector<int32_t> now = share_parts(plan_, hints);
    share_in_place(plan_, hints);
    if (index == 0) {
      built_.value_sources.resize(plan_.buffers.size());
      for (const auto& [value, buffer] : buffers_) built_.value_sources[static_cast<size_t>(now[static_cast<size_t>(buffer)])] = value->source;
    }
    built_.program.plans[index] = std::move(plan_);
    return {};
  }

 private:
  int32_t add_buffer(Buffer b) {
    plan_.buffers.push_back(std::move(b));
    return static_cast<int32_t>(plan_.buffers.size()) - 1;
  }

  int32_t constant_buffer(const Constant& c, Place place) {
    return add_buffer({c.dtype, BufferKind::kConstant, to_shape(c.dims), pool_.add(c), -1, 0, place});
  }

  std::optional<std::vector<int64_t>> constant_integers(int32_t b) const {
    const Buffer& buffer = plan_.buffers[static_cast<size_t>(b)];
    if (buffer.kind != BufferKind::kConstant || (buffer.dtype != DType::kI64 && buffer.dtype != DType::kI32)) return std::nullopt;
    const auto piece = std::find_if(built_.constants.begin(), built_.constants.end(), [&](const engine::ConstantPiece& p) { return p.offset == buffer.offset; });
    if (piece == built_.constants.end()) return std::nullopt;
    auto values = to_int64s({buffer.dtype, to_dims(buffer.shape), const_cast<void*>(piece->data)});
    return values ? std::optional(std::move(*values)) : std::nullopt;
  }

  Place place_of(int32_t b) const { return plan_.buffers[static_cast<size_t>(b)].place; }

  bool runs_on_device(const tactics::Choice& choice) const { return !device_.empty() && choice.candidate.kernel.starts_with(device_ + "."); }

  int32_t add_copy(int32_t from, Place to, const std::string& name, size_t at) {
    Buffer b{plan_.buffers[static_cast<size_t>(from)].dtype, BufferKind::kTemp, plan_.buffers[static_cast<size_t>(from)].shape};
    b.place = to;
    const Dim bytes = size_of(b.shape) * Dim(static_cast<int64_t>(dtype_size(b.dtype)));
    const int32_t copy = add_buffer(std::move(b));
    Command command;
    command.kernel = engine::kCopyKernel;
    command.inputs = {from};
    command.outputs = {copy};
    command.where = name;
    command.note = fmt::format("{} to {}: {} bytes", to == Place::kHost ? device_ : "host", to == Place::kHost ? "host" : device_, bytes.str());
    plan_.commands.insert(plan_.commands.begin() + static_cast<std::ptrdiff_t>(at), std::move(command));
    in_place_.insert(in_place_.begin() + static_cast<std::ptrdiff_t>(at), 0);
    return copy;
  }

  // The value in the memory that this reader sees.
  int32_t buffer_in(const ir::Value* v, Place place) {
    if (place == Place::kHost && v->constant) return buffer_of(v);
    auto it = copies_.find({v, place});
    if (it != copies_.end()) return it->second;
    if (v->constant) return copies_[{v, place}] = constant_buffer(*v->constant, place);
    const int32_t home = buffer_of(v);
    if (place_of(home) == place) return home;
    const int32_t copy = add_copy(home, place, v->name, plan_.commands.size());
    copies_[{v, place}] = copy;
    return copy;
  }

  // What the caller gives is copied first of all, so that the device's commands follow each other.
  void hoist_input_copies() {
    std::vector<size_t> order;
    for (const bool first : {true, false})
      for (size_t c = 0; c < plan_.commands.size(); ++c) {
        const Command& command = plan_.commands[c];
        const bool input = command.kernel == engine::kCopyKernel && plan_.buffers[static_cast<size_t>(command.inputs[0])].kind == BufferKind::kInput;
        if (input == first) order.push_back(c);
      }
    std::vector<Command> commands;
    std::vector<uint32_t> in_place;
    for (size_t c : order) {
      commands.push_back(std::move(plan_.commands[c]));
      in_place.push_back(in_place_[c]);
    }
    plan_.commands = std::move(commands);
    in_place_ = std::move(in_place);
  }

  // Whether a command of the device reads this value, or a view of it.
  bool read_on_device(const ir::Value* v) const {
    auto it = users_.find(v);
    if (device_.empty() || it == users_.end()) return false;
    return std::any_of(it->second.begin(), it->second.end(), [&](const ir::Node* user) {
      if (user->op.info().view) return user->in(0) == v && read_on_device(user->out());
      auto choice = assignment_.find(user);
      return choice != assignment_.end() && runs_on_device(choice->second);
    });
  }

  int32_t buffer_of(const ir::Value* v) {
    auto it = buffers_.find(v);
    if (it != buffers_.end()) return it->second;
    CARNOT_CHECK(v->constant);
    return buffers_[v] = constant_buffer(*v->constant, Place::kHost);
  }

  bool sized_before_run(const Shape& shape) const {
    for (const std::string& s : symbols_of(shape))
      if (!known_.count(s)) return false;
    return true;
  }

  // reshape and its kin: the same bytes under another shape. Not where the size is only known at run time, and not for constants,
  // which lie in another place.
  bool add_view(const ir::Node& node) {
    if (!node.op.info().view || node.inputs[0]->constant || !sized_before_run(node.in(0)->shape()) || !sized_before_run(node.out()->shape())) return false;
    int32_t source = buffer_of(node.in(0));
    const bool input = plan_.buffers[static_cast<size_t>(source)].kind == BufferKind::kInput;
    if (input && !read_on_device(node.out())) return false;
    if (input) source = buffer_in(node.in(0), Place::kDevice);
    buffers_[node.out()] = add_buffer({node.out()->dtype(), BufferKind::kTemp, node.out()->shape(), 0, source, 0, place_of(source)});
    return true;
  }

  Status add_node(const ir::Node& node) {
    if (add_view(node)) return {};
    auto it = assignment_.find(&node);
    CARNOT_CHECK(it != assignment_.end());
    const tactics::Choice& choice = it->second;
    Command command;
    command.kernel = choice.candidate.kernel;
    command.params = choice.candidate.params;
    command.where = node.where.str();
    command.note = choice.note;
    const Place place = runs_on_device(choice) ? Place::kDevice : Place::kHost;
    if (!choice.candidate.code.empty()) command.params.emplace_back("code", code_index(choice.candidate.code));
    for (const tactics::Operand& operand : choice.candidate.inputs) {
      if (operand.input >= 0)
        command.inputs.push_back(buffer_in(node.in(static_cast<size_t>(operand.input)), place));
      else
        command.inputs.push_back(operand.constant ? constant_buffer(*operand.constant, place) : -1);
    }
    for (const ir::Value* v : node.outputs) {
      buffers_[v] = add_buffer({v->dtype(), BufferKind::kTemp, v->shape(), 0, -1, 0, place});
      command.outputs.push_back(buffers_[v]);
    }
    if (!choice.tactic) {
      for (const auto& body : node.bodies) {
        const size_t index = built_.program.plans.size();
        built_.program.plans.emplace_back();
        CARNOT_RETURN_IF_ERROR(PlanBuilder(built_, pool_, assignment_, device_).build(*body, index, known_));
        command.bodies.push_back(static_cast<int32_t>(index));
      }
    }
    // What this command binds, later ones may use; but only at run time, so it does not count as known before.
    plan_.commands.push_back(std::move(command));
    in_place_.push_back(choice.candidate.in_place);
    return {};
  }

  int64_t code_index(const std::string& source) {
    auto& sources = built_.sources;
    auto it = std::find(sources.begin(), sources.end(), source);
    if (it == sources.end()) it = sources.insert(it, source);
    return it - sources.begin();
  }

  // By symbol that only the run tells: the command that tells it.
  std::map<std::string, size_t> tellers() const {
    std::map<std::string, size_t> out;
    for (size_t c = 0; c < plan_.commands.size(); ++c)
      for (int32_t b : plan_.commands[c].outputs)
        for (const std::string& symbol : unknown_symbols(b)) out.emplace(symbol, c);
    return out;
  }
  std::set<std::string> unknown_symbols(int32_t buffer) const {
    std::set<std::string> all, unknown;
    if (buffer >= 0)
      for (const Dim& d : plan_.buffers[static_cast<size_t>(buffer)].shape) d.collect_symbols(all);
    std::set_difference(all.begin(), all.end(), known_.begin(), known_.end(), std::inserter(unknown, unknown.end()));
    return unknown;
  }

  // Shape chains whose consumer turned into a view, mostly. What tells a size stays as long as a result has that size, though its
  // consumer took the size alone. Buffers stay: unused ones take no memory.
  void drop_dead_commands() {
    const std::map<std::string, size_t> teller = tellers();
    std::vector<bool> needed(plan_.buffers.size(), false);
    auto need = [&](int32_t b) {
      for (; b >= 0; b = plan_.buffers[static_cast<size_t>(b)].alias) needed[static_cast<size_t>(b)] = true;
    };
    for (int32_t b : plan_.outputs) need(b);
    std::vector<bool> keep(plan_.commands.size(), false);
    for (size_t c = plan_.commands.size(); c-- > 0;) {
      const Command& command = plan_.commands[c];
      keep[c] = keep[c] || std::any_of(command.outputs.begin(), command.outputs.end(), [&](int32_t b) { return needed[static_cast<size_t>(b)]; });
      if (!keep[c]) continue;
      for (int32_t b : command.outputs)
        for (const std::string& symbol : unknown_symbols(b))
          if (auto at = teller.find(symbol); at != teller.end()) keep[at->second] = true;
      for (int32_t b : command.inputs)
        if (b >= 0) need(b);
    }
    size_t kept = 0;
    for (size_t c = 0; c < plan_.commands.size(); ++c) {
      if (!keep[c]) continue;
      if (kept != c) plan_.commands[kept] = std::move(plan_.commands[c]);
      in_place_[kept++] = in_place_[c];
    }
    plan_.commands.resize(kept);
    in_place_.resize(kept);
  }

  BuiltProgram& built_;
  ConstantPool& pool_;
  const Assignment& assignment_;
  const std::string device_;  // kind; empty: the host alone
  Plan plan_;
  std::vector<uint32_t> in_place_;  // by command, see tactics::Candidate
  std::unordered_map<const ir::Value*, int32_t> buffers_;
  std::map<std::pair<const ir::Value*, Place>, int32_t> copies_;  // in the other place
  std::unordered_map<const ir::Value*, std::vector<const ir::Node*>> users_;
  std::set<std::string> known_;  // symbols that have a value before the plan runs
};

}  // namespace

Result<BuiltProgram> build_program(const ir::Graph& graph, const Assignment& assignment, const tactics::Target& target) {
  BuiltProgram built;
  ConstantPool pool(built);
  built.program.plans.emplace_back();
  CARNOT_RETURN_IF_ERROR(PlanBuilder(built, pool, assignment, target.device == "cpu" ? "" : target.device).build(graph, 0, {}));
  for (const ir::Value* v : graph.inputs()) built.program.input_names.push_back(v->name);
  built.program.output_names = graph.output_names();
  built.program.metadata = graph.metadata;
  built.program.producer = "carnot 0.1.0";
  built.program.target = target.device == "cuda" ? fmt::format("cuda:sm_{}", target.sm) : target.device;
  return built;
}

}  // namespace carnot::compiler
