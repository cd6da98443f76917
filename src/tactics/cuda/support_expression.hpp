// SPDX-License-Identifier: Apache-2.0
// Element-wise nodes as CUDA statements: the expressions are the rows of base/pointwise.inc.
#pragma once
#include <map>
#include <string>

#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics::cuda {

class Expression {
 public:
  explicit Expression(Kernel& kernel) : kernel_(kernel) {}

  // The name of the variable (of compute_type(v->dtype())) that holds an element of v.
  void bind(const ir::Value* v, std::string variable) { variables_[v] = std::move(variable); }
  // Whether v is bound, was computed by a step, or is a constant of one element.
  bool knows(const ir::Value* v);
  const std::string& variable(const ir::Value* v) { return variables_.at(v); }

  // Appends the statement of an element-wise node or cast, all of whose operands are known.
  Refusal add(const ir::Node& node);

  std::string text;

 private:
  Kernel& kernel_;
  std::map<const ir::Value*, std::string> variables_;
  int steps_ = 0;
};

// Why the node is none that add() takes; empty if it is one.
Refusal refuses_step(const ir::Node& node);

}  // namespace carnot::tactics::cuda
