// SPDX-License-Identifier: Apache-2.0
// Symbolic dimensions: integer expressions over named symbols, kept in one canonical form so that equal means ==.
//
//   Dim batch = Dim::symbol("batch");
//   Dim n = 4 * batch + 1;                       // prints "4*batch+1"
//   n.eval({{"batch", 3}})  -> 13
//
// An expression is a sum of products: coefficient * atom * atom ..., where an atom is a symbol or one of
// floordiv(a, b), ceildiv(a, b), mod(a, b), min(a, b), max(a, b). Symbols stand for sizes, so they are taken to be >= 0.
// Values are immutable and cheap to copy (a constant holds no memory).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace carnot {

struct DimPoly;

class Dim {
 public:
  Dim() = default;
  Dim(int64_t value) : constant_(value) {}
  static Dim symbol(std::string_view name);

  bool is_constant() const { return !poly_; }
  // The value of a constant. Only when is_constant().
  int64_t value() const { return constant_; }
  bool is(int64_t value) const { return is_constant() && constant_ == value; }
  // The name, when the expression is one bare symbol.
  std::optional<std::string> as_symbol() const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  static Dim floordiv(const Dim& a, const Dim& b);
  static Dim ceildiv(const Dim& a, const Dim& b);
  static Dim mod(const Dim& a, const Dim& b);
  static Dim min(const Dim& a, const Dim& b);
  static Dim max(const Dim& a, const Dim& b);
  // a / b where b is known to divide a (a reshape's -1); none if the division cannot be carried out symbolically.
  static std::optional<Dim> exact_div(const Dim& a, const Dim& b);

  friend bool operator==(const Dim& a, const Dim& b);
  friend bool operator<(const Dim& a, const Dim& b);  // an order for containers, without meaning

  using Lookup = std::function<std::optional<int64_t>(std::string_view)>;
  // The value under these symbols; an error if one is missing, at overflow, or at division by zero.
  Result<int64_t> eval(const Lookup& lookup) const;
  Result<int64_t> eval(const std::map<std::string, int64_t, std::less<>>& symbols) const;
  // Replaces symbols by expressions; those without an entry stay.
  Dim substitute(const std::map<std::string, Dim, std::less<>>& symbols) const;
  void collect_symbols(std::set<std::string>& into) const;
  // A lower bound that holds for all symbol values >= 0 (>= 1 is not assumed); none if unknown.
  std::optional<int64_t> lower_bound() const;

  std::string str() const;
  static Result<Dim> parse(std::string_view text);
  size_t hash() const;

 private:
  friend struct DimPoly;
  static Dim from_poly(DimPoly poly);
  const DimPoly& poly() const;
  int64_t constant_ = 0;
  std::shared_ptr<const DimPoly> poly_;  // null: the constant
};

using Shape = std::vector<Dim>;      // symbolic
using Dims = std::vector<int64_t>;   // concrete

std::string to_string(const Shape& shape);  // "[batch,3,224]"
std::string to_string(const Dims& dims);
Dim size_of(const Shape& shape);
// Product of the dims; an error if one is negative or the product overflows 2^62.
Result<int64_t> checked_size(const Dims& dims);
inline int64_t size_of(const Dims& dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}
bool is_static(const Shape& shape);
Shape to_shape(const Dims& dims);
// The constants of a static shape. Only when is_static().
Dims to_dims(const Shape& shape);
// Row-major strides in elements.
Dims strides_of(const Dims& dims);
// Maps a negative axis to its place; an error that names the axis and rank if outside [-rank, rank).
Result<int64_t> normalize_axis(int64_t axis, size_t rank);

}  // namespace carnot
