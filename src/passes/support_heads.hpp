// SPDX-License-Identifier: Apache-2.0
// Where the heads of attention lie: views between a tensor and an operand of attention, as a layout of the tensor (see
// ops/sdpa.hpp).
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "passes/pass.hpp"

namespace carnot::passes {

// The axes of a tensor while views change them, as lists of atoms: factors of the axes of the first shape, in memory
// order. A view is refused (false) where the factors cannot be told symbolically.
class AxisMap {
 public:
  explicit AxisMap(const Shape& first);
  bool transpose(const std::vector<int64_t>& perm);
  bool reshape(const Shape& to);
  // Places [begin, begin + count) of an axis.
  bool select(size_t axis, int64_t begin, int64_t count);
  // An axis of size 1 is repeated.
  bool spread(size_t axis, const Dim& count);
  // The view that `node` is for its result `output`: reshapes, transposes, selections with constant places, and
  // repetitions.
  bool apply(const ir::Node* node, size_t output);

  size_t rank() const { return axes_.size(); }

  // The present axes, named by `roles` (a letter each), as four axes of the first tensor in memory order. What is
  // selected must be selected of h, and what is repeated must be repeated innermost in h, or be all of b.
  struct Heads {
    Shape shape;         // of the first tensor as four axes
    std::string layout;  // their names
    int64_t first = 0;   // of h
    int64_t count = 1;   // heads in memory
    int64_t repeats = 1;
    bool repeated_batch = false;
  };
  std::optional<Heads> heads(std::string_view roles) const;
  // The order in which the present axes hold those of the first shape, named by `roles`; each must be in one piece.
  std::optional<std::string> order(std::string_view roles) const;

 private:
  struct Atom {
    Dim size;   // in memory
    Dim count;  // of those that are selected
    int64_t begin = 0;
    bool repeated = false;  // not in memory
    size_t root = 0;        // axis of the first shape
  };
  bool is_whole(const Atom& a) const { return a.count == a.size; }
  // Cuts atom `a` into `outer` and `inner` (of its count); the new inner atom's number, -1 where its selection cannot
  // be cut.
  int split(int a, const Dim& outer, const Dim& inner);

  std::vector<Atom> atoms_;
  std::vector<int> order_;  // as they lie in memory; repeated ones are missing
  std::vector<std::vector<int>> axes_;
};

// An operand of attention, and the tensor that holds it.
struct HeadSource {
  ir::Value* tensor = nullptr;
  AxisMap::Heads heads;
  double scale = 1;  // operand = scale * heads of tensor
};
// The furthest tensor from which `operand` is made by views and by products with numbers. Its axes are named by
// `roles`; an operand of rank 3 holds `group` heads for each batch in its first axis (roles then name the four axes
// that it is split into). Without `repeats`, all batches and heads are to be in memory one by one.
std::optional<HeadSource> find_heads(ir::Value* operand, std::string_view roles, int64_t group, bool repeats);

}  // namespace carnot::passes
