// SPDX-License-Identifier: Apache-2.0
// sdpa => cpu.attention
#include "ops/sdpa.hpp"
#include "tactics/tactic.hpp"

namespace carnot::tactics {
namespace {

class AttentionTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.attention"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* sdpa = p.node.as<ops::Sdpa>();
    if (!sdpa) return "other operator";
    for (size_t i = 0; i < 3; ++i)
      if (p.in(i).dtype != DType::kF32) return "only f32";
    if (p.node.has(3) && p.in(3).dtype != DType::kF32 && p.in(3).dtype != DType::kBool)
      return "the mask is neither f32 nor bool";
    if (sdpa->y_layout.back() != 'd') return "the columns of the result do not adjoin";
    return {};
  }
  std::vector<Config> configs(const Problem&, Effort effort) const override {
    std::vector<Config> out{Config{}};
    if (effort == Effort::kHeuristic) return out;
    for (const int64_t queries : {32, 64}) out.push_back({{"query_block", queries}});
    for (const int64_t keys : {64, 128, 256, 1024}) out.push_back({{"key_block", keys}});
    if (effort != Effort::kExhaustive) return out;
    for (const int64_t queries : {16, 32, 64})
      for (const int64_t keys : {64, 128, 256, 512, 1024}) out.push_back({{"query_block", queries}, {"key_block", keys}});
    return out;
  }
  Result<Candidate> build(const Problem& p, const Config& config) const override {
    Candidate c{.kernel = "cpu.attention", .params = p.op().attrs()};
    c.params.insert(c.params.end(), config.begin(), config.end());
    for (size_t i = 0; i < p.node.inputs.size(); ++i)
      c.inputs.push_back(p.node.has(i) ? Operand::of(i) : Operand::absent());
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, attention, AttentionTactic)

}  // namespace carnot::tactics
