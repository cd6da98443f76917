// SPDX-License-Identifier: Apache-2.0
// instance_normalization, group_normalization => cpu.group_norm
#include "ops/group_normalization.hpp"
#include "ops/instance_normalization.hpp"
#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

class GroupNormTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.group_norm"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::InstanceNormalization>() && !p.node.as<ops::GroupNormalization>()) return "other operator";
    if (p.in(0).dtype != DType::kF32) return "only f32";
    return {};
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    Candidate c{.kernel = "cpu.group_norm", .inputs = {Operand::of(0), Operand::of(1), Operand::of(2)}};
    if (const auto* instance = p.node.as<ops::InstanceNormalization>()) {
      c.params = {{"epsilon", instance->epsilon}, {"layout", instance->layout}};
    } else {
      const auto* group = p.node.as<ops::GroupNormalization>();
      c.params = {{"groups", group->num_groups}, {"epsilon", group->epsilon}, {"layout", group->layout}};
    }
    c.in_place = 1;
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, group_norm, GroupNormTactic)

}  // namespace carnot::tactics
