// SPDX-License-Identifier: Apache-2.0
#include "compiler/plan_builder.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <unordered_map>

#include "compiler/share_memory.hpp"

namespace carnot::compiler {
namespace {

using engine::Buffer;
using engine::BufferKind;
using engine::Command;
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
    built_.constants.push_back({next_, c.data, c.bytes()});
    built_.owners.push_back(c.owner);
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
  PlanBuilder(BuiltProgram& built, ConstantPool& pool, const Assignment& assignment) : built_(built), pool_(pool), assignment_(assignment) {}

  // Fills program.plans[index]; bodies get higher indices.
  Status build(const ir::Graph& graph, size_t index, const std::set<std::string>& outer_symbols) {
    known_ = outer_symbols;
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
    for (const ir::Value* v : graph.outputs()) plan_.outputs.push_back(buffer_of(v));
    drop_dead_commands();
    SharingHints hints{in_place_, {}};
    for (const Buffer& b : plan_.buffers) hints.sized.push_back(sized_before_run(b.shape));
    share_in_place(plan_, hints);
    built_.program.plans[index] = std::move(plan_);
    return {};
  }

 private:
  int32_t add_buffer(Buffer b) {
    plan_.buffers.push_back(std::move(b));
    return static_cast<int32_t>(plan_.buffers.size()) - 1;
  }

  int32_t constant_buffer(const Constant& c) { return add_buffer({c.dtype, BufferKind::kConstant, to_shape(c.dims), pool_.add(c)}); }

  int32_t buffer_of(const ir::Value* v) {
    auto it = buffers_.find(v);
    if (it != buffers_.end()) return it->second;
    CARNOT_CHECK(v->constant);
    return buffers_[v] = constant_buffer(*v->constant);
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
    const int32_t source = buffer_of(node.in(0));
    if (plan_.buffers[static_cast<size_t>(source)].kind == BufferKind::kInput) return false;
    buffers_[node.out()] = add_buffer({node.out()->dtype(), BufferKind::kTemp, node.out()->shape(), 0, source, 0});
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
    for (const tactics::Operand& operand : choice.candidate.inputs) {
      if (operand.input >= 0)
        command.inputs.push_back(buffer_of(node.in(static_cast<size_t>(operand.input))));
      else
        command.inputs.push_back(operand.constant ? constant_buffer(*operand.constant) : -1);
    }
    for (const ir::Value* v : node.outputs) {
      buffers_[v] = add_buffer({v->dtype(), BufferKind::kTemp, v->shape()});
      command.outputs.push_back(buffers_[v]);
    }
    if (!choice.tactic) {
      for (const auto& body : node.bodies) {
        const size_t index = built_.program.plans.size();
        built_.program.plans.emplace_back();
        CARNOT_RETURN_IF_ERROR(PlanBuilder(built_, pool_, assignment_).build(*body, index, known_));
        command.bodies.push_back(static_cast<int32_t>(index));
      }
    }
    // What this command binds, later ones may use; but only at run time, so it does not count as known before.
    plan_.commands.push_back(std::move(command));
    in_place_.push_back(choice.candidate.in_place);
    return {};
  }

  // Shape chains whose consumer turned into a view, mostly. Buffers stay: unused ones take no memory.
  void drop_dead_commands() {
    std::vector<bool> needed(plan_.buffers.size(), false);
    auto need = [&](int32_t b) {
      for (; b >= 0; b = plan_.buffers[static_cast<size_t>(b)].alias) needed[static_cast<size_t>(b)] = true;
    };
    for (int32_t b : plan_.outputs) need(b);
    std::vector<bool> keep(plan_.commands.size(), false);
    for (size_t c = plan_.commands.size(); c-- > 0;) {
      const Command& command = plan_.commands[c];
      keep[c] = std::any_of(command.outputs.begin(), command.outputs.end(), [&](int32_t b) { return needed[static_cast<size_t>(b)]; });
      if (!keep[c]) continue;
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
  Plan plan_;
  std::vector<uint32_t> in_place_;  // by command, see tactics::Candidate
  std::unordered_map<const ir::Value*, int32_t> buffers_;
  std::set<std::string> known_;  // symbols that have a value before the plan runs
};

}  // namespace

Result<BuiltProgram> build_program(const ir::Graph& graph, const Assignment& assignment) {
  BuiltProgram built;
  ConstantPool pool(built);
  built.program.plans.emplace_back();
  CARNOT_RETURN_IF_ERROR(PlanBuilder(built, pool, assignment).build(graph, 0, {}));
  for (const ir::Value* v : graph.inputs()) built.program.input_names.push_back(v->name);
  built.program.output_names = graph.output_names();
  built.program.metadata = graph.metadata;
  built.program.producer = "carnot 0.1.0";
  built.program.target = "cpu";
  return built;
}

}  // namespace carnot::compiler
