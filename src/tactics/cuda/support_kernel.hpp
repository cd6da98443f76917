// SPDX-License-Identifier: Apache-2.0
// Writing the CUDA text of one kernel, and what the command must know to launch it.
//
//   Kernel k(problem);
//   k.input("x", 0); k.output("y", 0);
//   const std::string n = k.value(size_of(k.shape(problem.out().shape)));     // "d0", or the number itself
//   k.body = "  const I i = (I)blockIdx.x * 256 + threadIdx.x;\n  if (i < " + n + ") y[i] = x[i];\n";
//   return k.finish("copy", {.x = Dim::ceildiv(n, 256)});
//
// Dims that are numbers stand in the text as such; others become arguments, written as expressions over the operands' dims (i0d1: axis
// 1 of operand 0 of the command). In the body `I` is the type of indices: int, or long long where an operand may have 2^31 elements.
// The text needs no header. The entry is named after the text's hash: equal problems give equal text, which is compiled once.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "tactics/tactic.hpp"

namespace carnot::tactics::cuda {

// The C type that an element lies in memory as ("float", "f16", "b8"; empty: none), and the one that it is computed in (float for
// f16, bf16 and f32; int for narrow integers and bool; long long for i64 and u32).
std::string storage_type(DType dtype);
std::string compute_type(DType dtype);
// The type of an unsigned number with as many bytes, for what only moves elements.
std::string bytes_type(DType dtype);
// A literal of a compute type.
std::string literal(double value, std::string_view type);
inline std::string literal(int64_t value) {
  return value > 2147483647 || value < -2147483647 ? fmt::format("{}LL", value) : fmt::format("{}", value);
}

// What cuda.launch passes at most: operands, workspace and scalars.
inline constexpr size_t kMostArguments = 255;

struct Grid {
  Dim x = 1, y = 1, z = 1;  // blocks
  int threads = 256, threads_y = 1;
  Dim workspace = 0;  // bytes; if not 0, `char* workspace` is an argument
};

class Kernel {
 public:
  explicit Kernel(const Problem& problem) : problem_(problem) {}

  // The next operand of the command: the node's input i (a null pointer if it is absent), or a constant of the tactic's own.
  // `type`: another C type than the dtype's.
  void input(std::string_view name, size_t i, std::string_view type = {});
  void packed(std::string_view name, Constant constant);
  // The next output, in the node's order; all of them must be declared.
  void output(std::string_view name, std::string_view type = {});

  // Declare the operands before asking for dims. A graph's dim in the launch's symbols; fails() if no operand tells it.
  Dim dim(const Dim& d);
  Shape shape(const Shape& s);
  Shape in_shape(size_t i) { return shape(problem_.in(i).shape); }
  Shape out_shape(size_t i = 0) { return shape(problem_.out(i).shape); }
  // Its value in the body, of type I.
  std::string value(const Dim& d);
  bool fails() const { return fails_; }

  // Whether the operands may share memory: an output that lies on an input must not be told apart from it.
  void set_in_place() { in_place_ = true; }
  // The body may store an index that lies outside of what it selects from to `complaint` (null: nobody listens); the run then fails.
  void set_complains() { complains_ = true; }
  // Text in front of the body: functions, templates. Once for each name.
  void helper(std::string_view name, std::string text);

  std::string body;
  // Elements of the largest tensor that the body indexes, beyond those of the operands.
  void largest(const Dim& elements) { sizes_.push_back(elements); }

  // kUnsupported if it would be more arguments than a launch takes.
  Result<Candidate> finish(std::string_view family, const Grid& grid);

 private:
  struct Operand {
    std::string name, type;
    const Shape* shape;  // null: absent
  };
  std::string dim_name(bool output, size_t operand, size_t axis) const;

  const Problem& problem_;
  std::vector<Operand> inputs_, outputs_;
  std::vector<tactics::Operand> operands_;
  std::vector<Shape> packed_shapes_;
  std::vector<std::string> scalars_;
  std::vector<Dim> sizes_;
  std::vector<std::pair<std::string, std::string>> helpers_;
  bool fails_ = false, in_place_ = false, complains_ = false;
};

// Nested loops over `sizes` in which operands move by `strides` elements.
struct Space {
  Shape sizes;
  std::vector<Shape> strides;  // one of `sizes`' rank per operand

  // Drops axes of size 1 and joins neighbours that every operand walks through in one go.
  void collapse();
};
// The greatest of many, as a tree: a chain of max() would be too deep for the reader of expressions.
Dim greatest(std::vector<Dim> dims);
// Row-major strides.
Shape strides_of(const Shape& shape);
// Those of an operand that broadcasts to `to`: 0 where it has one element; where only a run can tell, an expression that becomes 0.
Shape broadcast_strides(const Shape& operand, const Shape& to);

// Declares coordinates `<prefix>0, <prefix>1 ...` of the row-major number `index`; sizes[0] is not needed, so it is not bound.
std::string unravel(Kernel& k, std::string_view index, const Shape& sizes, std::string_view prefix);
// prefix0 * stride0 + ...; "0" if none.
std::string dot(Kernel& k, std::string_view prefix, const Shape& strides);

}  // namespace carnot::tactics::cuda
