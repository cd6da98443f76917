// SPDX-License-Identifier: Apache-2.0
// Local rewrites. A rule is a pattern (data) and a function that builds the replacement:
//
//   // x * sigmoid(x) => silu(x)
//   Rule{op("mul", {any(0), op("sigmoid", {any(0)})}), [](Rewrite& r) { return r.make(ops::Silu{}, {r.value(0)}); }}
//
// Operands of add, mul, min, max, equal, and, or match in either order. The results of a match's nodes, but the root's, may have no use
// outside of it, so that nothing is computed twice; captured values may have any.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "passes/pass.hpp"

namespace carnot::passes {

// ---- questions about values ----------------------------------------------------------------------------------------------------
// Used by exactly one operand and not returned.
bool single_use(const ir::Value* value);
// The number that all elements of a constant have (one element or more); none if they differ or it is no constant.
std::optional<double> scalar_of(const ir::Value* value);
bool is_scalar(const ir::Value* value, double wanted, double relative_tolerance = 1e-5);
bool same_shape(const ir::Value* a, const ir::Value* b);
// The producer if its operator has this name, else null.
ir::Node* producer(const ir::Value* value, std::string_view op_name);
// The elements of a constant integer value.
std::optional<std::vector<int64_t>> ints_of(const ir::Value* value);
// The axes of a reduction, sorted and counted from 0, if they are constant and its dims are kept; none otherwise.
std::optional<std::vector<int64_t>> kept_axes(const ir::Node* reduction);
// Node names joined by '+', for a node that stands for several.
ir::Location join(const std::vector<ir::Node*>& nodes);

// ---- changing ----------------------------------------------------------------------------------------------------------------
// Erases the node if nobody uses its results, then its operands' producers likewise.
void erase_dead(ir::Graph& graph, ir::Node* node);
// A node before `before`, or null where inference refuses it (nothing is left behind then).
ir::Value* try_add(ir::Graph& graph, ops::Operator op, std::vector<ir::Value*> inputs, const ir::Location& where, ir::Node* before);
// `to` may stand for `from`: same element type and rank, no contradicting dims.
bool can_replace(const ir::Value* from, const ir::Value* to);
// A scalar constant of the dtype.
ir::Value* add_scalar(ir::Graph& graph, DType dtype, double value, std::string_view name = "c");

// ---- patterns ------------------------------------------------------------------------------------------------------------------
struct PatternNode;
using Pattern = std::shared_ptr<const PatternNode>;
inline constexpr int kMaxCaptures = 8;

Pattern any(int capture);                                  // any value; the same one at every place with this number
Pattern number(double value);                              // a constant whose elements all have (about) this value
Pattern scalar(int capture);                               // a constant whose elements are all equal
Pattern constant(int capture);                             // any constant
Pattern op(std::string_view name, std::vector<Pattern> operands, int node_capture = -1);
// reduce_mean and its like, with or without the operand for axes.
Pattern reduction(std::string_view name, Pattern x, int node_capture);
Pattern one_of(std::vector<Pattern> patterns);             // the first that matches
Pattern times(Pattern x, double factor);                   // x * factor or x / (1 / factor)

struct Match {
  std::array<ir::Value*, kMaxCaptures> values{};
  std::array<ir::Node*, kMaxCaptures> captured{};
  std::vector<ir::Node*> nodes;  // root first
};
std::optional<Match> match(const Pattern& pattern, ir::Node* root);

class Rewrite {
 public:
  Rewrite(ir::Graph& graph, ir::Node* root, const Match& match) : graph_(graph), root_(root), match_(match), where_(join(match.nodes)) {}
  ir::Graph& graph() { return graph_; }
  ir::Node* root() const { return root_; }
  ir::Value* value(int capture) const { return match_.values[static_cast<size_t>(capture)]; }
  ir::Node* node(int capture) const { return match_.captured[static_cast<size_t>(capture)]; }
  double scalar(int capture) const { return *scalar_of(value(capture)); }
  const ir::Location& where() const { return where_; }
  // A new node right before the root; null if it cannot be, which makes the rule decline.
  template <typename T>
  ir::Value* make(T op, std::vector<ir::Value*> inputs) {
    for (ir::Value* v : inputs)
      if (!v) return nullptr;
    return try_add(graph_, ops::Operator(std::move(op)), std::move(inputs), where_, root_);
  }

 private:
  ir::Graph& graph_;
  ir::Node* root_;
  const Match& match_;
  ir::Location where_;
};

struct Rule {
  Pattern pattern;
  // The value that replaces the root's first result; null declines. Nodes made before declining are removed again.
  std::function<ir::Value*(Rewrite&)> build;
};

// Applies the rules to the graph and its bodies until none applies any more.
Result<bool> apply_rules(ir::Graph& graph, const std::vector<Rule>& rules);

}  // namespace carnot::passes
