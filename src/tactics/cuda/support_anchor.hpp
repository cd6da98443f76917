// SPDX-License-Identifier: Apache-2.0
// An anchor (convolution, matrix product) alone or at the head of a group, and the element-wise steps that follow it, whatever they are.
#pragma once
#include <string>
#include <vector>

#include "tactics/cuda/support_expression.hpp"

namespace carnot::tactics::cuda {

struct Anchor {
  const ir::Node* node = nullptr;
  std::vector<const ir::Node*> steps;
  Refusal refusal;

  // The anchor's operand i: as the node knows it, -1 if the group holds it; null value: absent.
  struct Input {
    int outer = -1;
    const ir::Value* value = nullptr;
    const Constant* constant = nullptr;
  };
  Input input(const Problem& p, size_t i) const;
};

// `kind`: the kind of groups that count.
Anchor read_anchor(const Problem& p, std::string_view kind);

// What is done with a finished sum. Declare the anchor's operands and the output first.
class Epilogue {
 public:
  // `out`: the shape that the steps work on, `channel`: its axis that `c` numbers.
  Epilogue(Kernel& kernel, const Problem& problem, const Anchor& anchor, Shape out, size_t channel);

  // An element of an operand that is broadcast to the result, in terms of `o` (offset in the result) and `c` (channel). Declares the
  // operand in the kernel.
  std::string element(std::string_view name, const ir::Value* v);
  // The anchor's operand i in the same way; or as one number a channel, whatever axis that is.
  std::string anchor_element(std::string_view name, size_t i);
  std::string anchor_channel(std::string_view name, size_t i);
  // Defines `finish(acc, o, c)`, which gives the element to store; `sum`: the expression that the steps start from, over `acc`.
  Result<std::string> text(std::string_view sum);

 private:
  void declare(std::string_view name, const ir::Value* v);

  Kernel& k_;
  const Problem& p_;
  const Anchor& a_;
  Shape out_;
  size_t channel_;
  std::string declarations_;
};

}  // namespace carnot::tactics::cuda
