// SPDX-License-Identifier: Apache-2.0
// The vocabulary. An operator is a small struct: its attributes (fields), `infer` (types and shapes over symbolic dims) and
// `evaluate` (the plain reference). Everything else (equality, hash, print, parse, serialization) comes from fields().
//
//   struct Gather {                                    // ops/gather.hpp
//     static constexpr OpInfo info{.name = "gather", .inputs = {"data", "indices"}, .onnx = {{"Gather"}}};
//     int64_t axis = 0;
//     static constexpr auto fields() { return std::tuple{field("axis", &Gather::axis)}; }
//     bool operator==(const Gather&) const = default;
//     Result<Facts> infer(const InferCtx&) const;      // the only shape rule anywhere
//     Status evaluate(EvalCtx&) const;                 // reference: plain loops, wide accumulation, no SIMD
//   };
//   CARNOT_DEFINE_OPS(gather, Gather)                  // last line of ops/gather.cpp; the argument is the file's name
//
// The table of operators is generated from the file names in this folder: no list is edited to add one.
#pragma once
#include <array>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "base/attr.hpp"
#include "base/dims.hpp"
#include "base/dtype.hpp"
#include "base/result.hpp"
#include "base/tensor.hpp"

namespace carnot::ops {

// ---- attributes ------------------------------------------------------------------------------------------------------------
// Attrs of an operator stand in the order of fields(); defaults are left out.
using carnot::Attr;
using carnot::Attrs;

std::string to_string(const Attr& attr);
Result<Attr> parse_attr(std::string_view text);

// ---- static description ----------------------------------------------------------------------------------------------------
// A list that can stand in a constant expression.
template <typename T, size_t N>
struct FixedList {
  std::array<T, N> items{};
  size_t count = 0;
  constexpr FixedList() = default;
  constexpr FixedList(std::initializer_list<T> list) {
    for (const T& item : list) items[count++] = item;
  }
  constexpr const T* begin() const { return items.data(); }
  constexpr const T* end() const { return items.data() + count; }
  constexpr size_t size() const { return count; }
  constexpr const T& operator[](size_t i) const { return items[i]; }
};

// ONNX operator that this one is, attribute for attribute, for opsets since..until. Anything else is a converter in importers/onnx.
struct OnnxName {
  std::string_view op;
  int since = 1;
  int until = 1 << 30;
  std::string_view domain = "";
};

struct OpInfo {
  std::string_view name;
  // Operand names. A trailing '?' marks an optional operand, a trailing '*' on the last one a variadic tail.
  FixedList<std::string_view, 16> inputs;
  FixedList<std::string_view, 8> outputs = {"y"};  // same marks
  FixedList<OnnxName, 4> onnx = {};
  bool pointwise = false;      // out[i] depends on the (broadcast) inputs at i alone, see pointwise.hpp
  bool pure = true;            // false: random numbers; never folded or merged
  bool view = false;           // the output holds the bytes of input 0 under another shape: no copy is needed
  int bodies = 0;              // number of subgraphs (If 2, Loop 1, Scan 1)
};

template <typename Class, typename Member>
struct Field {
  std::string_view name;
  Member Class::* member;
  bool required = false;
};
// An attribute with the member's initialiser as default. Members: int64_t, double, std::string, DType, vectors of these, and
// std::optional of any (absent = not printed).
template <typename Class, typename Member>
constexpr Field<Class, Member> field(std::string_view name, Member Class::* member) {
  return {name, member, false};
}
template <typename Class, typename Member>
constexpr Field<Class, Member> required_field(std::string_view name, Member Class::* member) {
  return {name, member, true};
}

// ---- inference -------------------------------------------------------------------------------------------------------------
// What is known of a value. `values`: the elements of a small integer tensor as symbolic expressions, row-major (this is how shape
// arithmetic folds away: Shape yields it, Gather/Concat/Add... pass it on, Reshape consumes it). At most kMaxTrackedValues.
struct ValueFacts {
  DType dtype = DType::kInvalid;
  Shape shape;
  std::optional<std::vector<Dim>> values = {};
};
using Facts = std::vector<ValueFacts>;  // one per output
inline constexpr int64_t kMaxTrackedValues = 256;

class InferCtx {
 public:
  struct Input {
    const ValueFacts* facts = nullptr;       // null: optional operand absent
    const TensorView* constant = nullptr;    // the data, if known now (weights; at run time: everything on the host)
  };
  // Types of body k's outputs when called with these inputs (control flow).
  using BodyInfer = std::function<Result<Facts>(size_t body, std::span<const ValueFacts> inputs)>;
  using FreshDim = std::function<Dim(std::string_view hint)>;

  InferCtx(std::span<const Input> inputs, size_t outputs, FreshDim fresh, BodyInfer body = {})
      : inputs_(inputs), outputs_(outputs), fresh_(std::move(fresh)), body_(std::move(body)) {}

  size_t inputs() const { return inputs_.size(); }
  size_t outputs() const { return outputs_; }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i].facts; }
  const ValueFacts& facts(size_t i) const { return *inputs_[i].facts; }
  DType dtype(size_t i) const { return inputs_[i].facts->dtype; }
  const Shape& shape(size_t i) const { return inputs_[i].facts->shape; }
  size_t rank(size_t i) const { return inputs_[i].facts->shape.size(); }
  // The data of input i if it is known at this moment, else null.
  const TensorView* constant(size_t i) const { return has(i) ? inputs_[i].constant : nullptr; }
  // The elements of an integer input as symbolic expressions: from its constant data or from tracked values; none if unknown.
  std::optional<std::vector<Dim>> values(size_t i) const;
  // The same when all are plain numbers.
  std::optional<std::vector<int64_t>> ints(size_t i) const;
  // A new symbol for a dim that only a run can tell (NonZero, a reshape by unknown values).
  Dim fresh(std::string_view hint) const { return fresh_(hint); }
  Result<Facts> infer_body(size_t body, std::span<const ValueFacts> in) const { return body_(body, in); }

 private:
  std::span<const Input> inputs_;
  size_t outputs_;
  FreshDim fresh_;
  BodyInfer body_;
};

// Numpy broadcasting over symbolic dims. Two different symbols are taken to be equal only if one of them must be (the run checks).
Result<Shape> broadcast(const Shape& a, const Shape& b);

// ---- evaluation ------------------------------------------------------------------------------------------------------------
class EvalCtx {
 public:
  virtual ~EvalCtx() = default;
  std::span<const TensorView> in;  // data null and dtype kInvalid: optional operand absent
  std::span<TensorView> out;       // dtype kInvalid: not wanted. Shapes as inferred; memory ready unless the shape is data dependent.

  bool has(size_t i) const { return i < in.size() && in[i].dtype != DType::kInvalid; }
  bool wants(size_t i) const { return i < out.size() && out[i].dtype != DType::kInvalid; }
  // Gives output i its shape and memory. For outputs whose dims infer() left as fresh symbols; harmless for others.
  virtual Status allocate(size_t i, Dims dims) = 0;
  // Runs subgraph k. The views returned stay valid until the next run_body of the same body.
  virtual Result<std::vector<TensorView>> run_body(size_t k, std::span<const TensorView> inputs) = 0;
};

// ---- type-erased operator --------------------------------------------------------------------------------------------------
class Operator;

struct OpEntry {
  const OpInfo* info;
  Result<Operator> (*make)(const Attrs& attrs);  // unknown or missing attributes and wrong types are errors that name them
};

class Operator {
 public:
  struct Model {
    virtual ~Model() = default;
    virtual const OpInfo& info() const = 0;
    virtual Attrs attrs() const = 0;
    virtual Result<Facts> infer(const InferCtx&) const = 0;
    virtual Status evaluate(EvalCtx&) const = 0;
    virtual bool equals(const Model& other) const = 0;
    virtual const void* type() const = 0;
    virtual const void* self() const = 0;
    virtual std::optional<Operator> permuted(const std::vector<int64_t>& perm) const = 0;
  };

  Operator() = default;
  template <typename T>
  explicit Operator(T op);

  explicit operator bool() const { return model_ != nullptr; }
  const OpInfo& info() const { return model_->info(); }
  std::string_view name() const { return info().name; }
  Attrs attrs() const { return model_->attrs(); }
  // The struct, if this is a T:  if (const auto* conv = op.as<Conv>()) ...
  template <typename T>
  const T* as() const;
  Result<Facts> infer(const InferCtx& ctx) const { return model_->infer(ctx); }
  Status evaluate(EvalCtx& ctx) const { return model_->evaluate(ctx); }
  friend bool operator==(const Operator& a, const Operator& b) {
    return a.model_ == b.model_ || (a.model_ && b.model_ && a.model_->equals(*b.model_));
  }
  // The operator that does the same on inputs and outputs whose axes were all permuted by `perm` (out axis i = in axis perm[i]);
  // none when the operator has no such form. From the struct's optional member
  //   std::optional<T> permuted(const std::vector<int64_t>& perm) const;
  std::optional<Operator> permuted(const std::vector<int64_t>& perm) const { return model_->permuted(perm); }
  // "gather(axis=1)"
  std::string str() const;

 private:
  std::shared_ptr<const Model> model_;
};

// All operators, by name. Null if there is none.
const OpEntry* find_op(std::string_view name);
std::vector<const OpEntry*> all_ops();
// find_op + make, with an error that names a near miss.
Result<Operator> make_op(std::string_view name, const Attrs& attrs);
// Checks the number of operands against the description; `present[i]` false = optional operand left out.
Status check_arity(const OpInfo& info, std::span<const bool> present, size_t outputs);

}  // namespace carnot::ops

#include "ops/operator_impl.hpp"
