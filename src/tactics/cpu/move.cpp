// SPDX-License-Identifier: Apache-2.0
// Operators that only move elements on the copy kernels.
#include "ops/concat.hpp"
#include "ops/expand.hpp"
#include "ops/gather.hpp"
#include "ops/pad.hpp"
#include "ops/slice.hpp"
#include "ops/split.hpp"
#include "ops/transpose.hpp"
#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

constexpr size_t kMaxRank = 8;

class MoveTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.move"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& p) const override {
    const ir::Node& n = p.node;
    if (!n.as<ops::Transpose>() && !n.as<ops::Concat>() && !n.as<ops::Split>() && !n.as<ops::Slice>() && !n.as<ops::Expand>() && !n.as<ops::Gather>() && !n.as<ops::Pad>())
      return "other operator";
    if (p.in(0).shape.size() > kMaxRank || p.out().shape.size() > kMaxRank) return fmt::format("rank above {}", kMaxRank);
    if (p.in(0).dtype == DType::kString) return "strings";
    if (p.in(0).shape.empty() && !n.as<ops::Expand>()) return "a scalar";
    // The size of the result must be known before the kernel runs: what infer could not say, the reference finds out.
    if (n.as<ops::Slice>() || n.as<ops::Pad>() || n.as<ops::Expand>() || n.as<ops::Split>())
      for (size_t i = 1; i < n.inputs.size(); ++i)
        if (n.has(i) && !n.in(i)->constant && !n.in(i)->facts.values) return "positions are computed at run time";
    if (n.as<ops::Pad>() && p.in(1).dtype != DType::kI64) return "pads are not i64";
    if (n.as<ops::Gather>() && p.in(1).dtype != DType::kI64 && p.in(1).dtype != DType::kI32) return "indices are neither i32 nor i64";
    if (n.as<ops::Slice>() && p.in(1).dtype != DType::kI64 && p.in(1).dtype != DType::kI32) return "positions are neither i32 nor i64";
    return {};
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const ir::Node& n = p.node;
    Candidate c;
    c.kernel = fmt::format("cpu.{}", p.op().name());
    size_t operands = n.inputs.size();
    if (const auto* transpose = n.as<ops::Transpose>()) {
      CARNOT_ASSIGN(const std::vector<int64_t> perm, transpose->perm_for(p.in(0).shape.size()));
      c.params = {{"perm", perm}};
    } else if (const auto* concat = n.as<ops::Concat>()) {
      c.params = {{"axis", concat->axis}};
    } else if (const auto* split = n.as<ops::Split>()) {
      c.params = {{"axis", split->axis}};
      operands = 1;  // the parts are told by the results' shapes
    } else if (const auto* gather = n.as<ops::Gather>()) {
      c.params = {{"axis", gather->axis}};
    } else if (const auto* pad = n.as<ops::Pad>()) {
      c.params = {{"mode", pad->mode}};
    } else if (n.as<ops::Expand>()) {
      operands = 1;
    }
    for (size_t i = 0; i < operands; ++i) c.inputs.push_back(n.has(i) ? Operand::of(i) : Operand::absent());
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, move, MoveTactic)

}  // namespace carnot::tactics
