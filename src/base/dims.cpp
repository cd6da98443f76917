// SPDX-License-Identifier: Apache-2.0
#include "base/dims.hpp"

#include <algorithm>

#include "base/dims_poly.hpp"

namespace carnot {

namespace {
constexpr int64_t kLimit = int64_t{1} << 62;

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}
}  // namespace

Dim Dim::from_poly(DimPoly poly) {
  Dim d;
  d.poly_ = std::make_shared<const DimPoly>(std::move(poly));
  return d;
}

Dim Dim::symbol(std::string_view name) {
  DimPoly p;
  p.terms.push_back({1, {Atom{AtomKind::kSymbol, std::string(name), {}, {}}}});
  return from_poly(std::move(p));
}

std::optional<std::string> Dim::as_symbol() const {
  if (!poly_ || poly_->terms.size() != 1) return std::nullopt;
  const Term& t = poly_->terms[0];
  if (t.coefficient != 1 || t.atoms.size() != 1 || t.atoms[0].kind != AtomKind::kSymbol) return std::nullopt;
  return t.atoms[0].name;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) {
    int64_t sum;
    if (__builtin_add_overflow(a.constant_, b.constant_, &sum)) sum = a.constant_ > 0 ? kLimit : -kLimit;
    return Dim(sum);
  }
  DimPoly p = DimPoly::of(a);
  DimPoly q = DimPoly::of(b);
  p.terms.insert(p.terms.end(), q.terms.begin(), q.terms.end());
  return DimPoly::make(std::move(p));
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) {
    int64_t product;
    // Overflow only arises from hostile shapes; saturating keeps the value absurd, so that size checks refuse it.
    if (__builtin_mul_overflow(a.constant_, b.constant_, &product)) product = kLimit;
    return Dim(product);
  }
  DimPoly p = DimPoly::of(a), q = DimPoly::of(b), r;
  for (const Term& x : p.terms)
    for (const Term& y : q.terms) {
      Term t{x.coefficient * y.coefficient, x.atoms};
      t.atoms.insert(t.atoms.end(), y.atoms.begin(), y.atoms.end());
      std::sort(t.atoms.begin(), t.atoms.end());
      r.terms.push_back(std::move(t));
    }
  return DimPoly::make(std::move(r));
}

std::optional<Dim> Dim::exact_div(const Dim& a, const Dim& b) {
  if (b.is(0)) return std::nullopt;
  if (a == b) return Dim(1);
  if (a.is(0)) return Dim(0);
  if (a.is_constant() && b.is_constant())
    return a.constant_ % b.constant_ == 0 ? std::optional<Dim>(a.constant_ / b.constant_) : std::nullopt;
  // Polynomial long division by the leading term; a remainder means that it cannot be done.
  DimPoly rest = DimPoly::of(a);
  const DimPoly divisor = DimPoly::of(b);
  const Term& lead = divisor.terms[0];
  Dim quotient(0);
  for (int steps = 0; !rest.terms.empty(); ++steps) {
    if (steps > 64) return std::nullopt;
    Term t = rest.terms[0];
    if (t.coefficient % lead.coefficient != 0) return std::nullopt;
    t.coefficient /= lead.coefficient;
    for (const Atom& atom : lead.atoms) {
      auto it = std::find(t.atoms.begin(), t.atoms.end(), atom);
      if (it == t.atoms.end()) return std::nullopt;
      t.atoms.erase(it);
    }
    DimPoly one;
    one.terms.push_back(t);
    const Dim factor = DimPoly::make(std::move(one));
    quotient = quotient + factor;
    rest = DimPoly::of(DimPoly::make(std::move(rest)) - factor * b);
  }
  return quotient;
}

Dim Dim::floordiv(const Dim& a, const Dim& b) {
  if (b.is(1)) return a;
  if (a.is_constant() && b.is_constant() && b.constant_ != 0) return Dim(floor_div(a.constant_, b.constant_));
  if (auto exact = exact_div(a, b)) return *exact;
  if (b.is_constant() && b.constant_ > 0 && a.poly_) {
    // (k*b*x + r) / b = k*x + r / b: take out every term that b divides.
    DimPoly whole, rest;
    for (const Term& t : a.poly_->terms) {
      if (t.coefficient % b.constant_ == 0)
        whole.terms.push_back({t.coefficient / b.constant_, t.atoms});
      else if (t.atoms.empty() && floor_div(t.coefficient, b.constant_) != 0) {
        whole.terms.push_back({floor_div(t.coefficient, b.constant_), {}});
        rest.terms.push_back({t.coefficient - floor_div(t.coefficient, b.constant_) * b.constant_, {}});
      } else
        rest.terms.push_back(t);
    }
    if (!whole.terms.empty()) {
      Dim remainder = DimPoly::make(std::move(rest));
      return DimPoly::make(std::move(whole)) +
             (remainder.is_constant() ? Dim(floor_div(remainder.value(), b.constant_)) : DimPoly::atom(AtomKind::kFloorDiv, remainder, b));
    }
  }
  return DimPoly::atom(AtomKind::kFloorDiv, a, b);
}

Dim Dim::ceildiv(const Dim& a, const Dim& b) {
  if (b.is_constant() && b.constant_ > 0) return floordiv(a + Dim(b.constant_ - 1), b);
  if (auto exact = exact_div(a, b)) return *exact;
  return DimPoly::atom(AtomKind::kCeilDiv, a, b);
}

Dim Dim::mod(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant() && b.constant_ != 0) return Dim(a.constant_ - floor_div(a.constant_, b.constant_) * b.constant_);
  if (exact_div(a, b)) return Dim(0);
  return DimPoly::atom(AtomKind::kMod, a, b);
}

Dim Dim::min(const Dim& a, const Dim& b) {
  if (a == b) return a;
  const Dim gap = a - b;
  if (auto low = gap.lower_bound(); low && *low >= 0) return b;
  if (auto low = (b - a).lower_bound(); low && *low >= 0) return a;
  return a < b ? DimPoly::atom(AtomKind::kMin, a, b) : DimPoly::atom(AtomKind::kMin, b, a);
}

Dim Dim::max(const Dim& a, const Dim& b) {
  if (a == b) return a;
  if (auto low = (a - b).lower_bound(); low && *low >= 0) return a;
  if (auto low = (b - a).lower_bound(); low && *low >= 0) return b;
  return a < b ? DimPoly::atom(AtomKind::kMax, a, b) : DimPoly::atom(AtomKind::kMax, b, a);
}

bool operator==(const Dim& a, const Dim& b) {
  if (!a.poly_ || !b.poly_) return !a.poly_ && !b.poly_ && a.constant_ == b.constant_;
  if (a.poly_ == b.poly_) return true;
  const auto &x = a.poly_->terms, &y = b.poly_->terms;
  return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin(), [](const Term& s, const Term& t) {
           return s.coefficient == t.coefficient && s.atoms == t.atoms;
         });
}

bool operator<(const Dim& a, const Dim& b) {
  if (!a.poly_ && !b.poly_) return a.constant_ < b.constant_;
  if (!a.poly_ || !b.poly_) return !a.poly_ && b.poly_;
  const auto &x = a.poly_->terms, &y = b.poly_->terms;
  return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end(), [](const Term& s, const Term& t) {
    if (s.coefficient != t.coefficient) return s.coefficient < t.coefficient;
    return DimPoly::before(s.atoms, t.atoms);
  });
}

Result<int64_t> Dim::eval(const Lookup& lookup) const {
  if (!poly_) return constant_;
  __int128 sum = 0;
  for (const Term& t : poly_->terms) {
    __int128 product = t.coefficient;
    for (const Atom& atom : t.atoms) {
      int64_t value = 0;
      if (atom.kind == AtomKind::kSymbol) {
        const std::optional<int64_t> bound = lookup(atom.name);
        if (!bound) return invalid("dimension '{}' has no value", atom.name);
        value = *bound;
      } else {
        CARNOT_ASSIGN(const int64_t a, atom.a.eval(lookup));
        CARNOT_ASSIGN(const int64_t b, atom.b.eval(lookup));
        switch (atom.kind) {
          case AtomKind::kMin: value = std::min(a, b); break;
          case AtomKind::kMax: value = std::max(a, b); break;
          default:
            if (b == 0) return invalid("dimension {} divides by zero", str());
            value = atom.kind == AtomKind::kFloorDiv  ? floor_div(a, b)
                    : atom.kind == AtomKind::kCeilDiv ? -floor_div(-a, b)
                                                      : a - floor_div(a, b) * b;
        }
      }
      product *= value;
      if (product > kLimit || product < -kLimit) return invalid("dimension {} overflows", str());
    }
    sum += product;
  }
  if (sum > kLimit || sum < -kLimit) return invalid("dimension {} overflows", str());
  return static_cast<int64_t>(sum);
}

Result<int64_t> Dim::eval(const std::map<std::string, int64_t, std::less<>>& symbols) const {
  return eval([&](std::string_view name) -> std::optional<int64_t> {
    auto it = symbols.find(name);
    return it == symbols.end() ? std::nullopt : std::optional<int64_t>(it->second);
  });
}

Dim Dim::substitute(const std::map<std::string, Dim, std::less<>>& symbols) const {
  if (!poly_) return *this;
  Dim sum(0);
  for (const Term& t : poly_->terms) {
    Dim product(t.coefficient);
    for (const Atom& atom : t.atoms) {
      Dim value;
      if (atom.kind == AtomKind::kSymbol) {
        auto it = symbols.find(atom.name);
        value = it == symbols.end() ? symbol(atom.name) : it->second;
      } else {
        const Dim a = atom.a.substitute(symbols), b = atom.b.substitute(symbols);
        switch (atom.kind) {
          case AtomKind::kMin: value = min(a, b); break;
          case AtomKind::kMax: value = max(a, b); break;
          case AtomKind::kMod: value = mod(a, b); break;
          case AtomKind::kCeilDiv: value = ceildiv(a, b); break;
          default: value = floordiv(a, b);
        }
      }
      product = product * value;
    }
    sum = sum + product;
  }
  return sum;
}

void Dim::collect_symbols(std::set<std::string>& into) const {
  if (!poly_) return;
  for (const Term& t : poly_->terms)
    for (const Atom& atom : t.atoms) {
      if (atom.kind == AtomKind::kSymbol) into.insert(atom.name);
      atom.a.collect_symbols(into);
      atom.b.collect_symbols(into);
    }
}

std::optional<int64_t> Dim::lower_bound() const {
  if (!poly_) return constant_;
  int64_t bound = 0;
  for (const Term& t : poly_->terms) {
    if (t.atoms.empty()) {
      bound += t.coefficient;
      continue;
    }
    if (t.coefficient < 0) return std::nullopt;
    for (const Atom& atom : t.atoms) {
      if (atom.kind == AtomKind::kSymbol) continue;
      if (atom.kind == AtomKind::kMod) continue;
      const auto a = atom.a.lower_bound(), b = atom.b.lower_bound();
      if (!a || !b || *a < 0 || *b < 0) return std::nullopt;
    }
  }
  return bound;
}

Dim size_of(const Shape& shape) {
  Dim n(1);
  for (const Dim& d : shape) n = n * d;
  return n;
}

Result<int64_t> checked_size(const Dims& dims) {
  int64_t n = 1;
  for (int64_t d : dims)
    if (d < 0) return invalid("shape {} has a negative dimension", to_string(dims));
  for (int64_t d : dims)
    if (__builtin_mul_overflow(n, d, &n) || n > kLimit) return invalid("shape {} is too large", to_string(dims));
  return n;
}

bool is_static(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); });
}

Shape to_shape(const Dims& dims) { return Shape(dims.begin(), dims.end()); }

Dims to_dims(const Shape& shape) {
  Dims out;
  for (const Dim& d : shape) out.push_back(d.value());
  return out;
}

Dims strides_of(const Dims& dims) {
  Dims out(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) out[i - 1] = out[i] * dims[i];
  return out;
}

Result<int64_t> normalize_axis(int64_t axis, size_t rank) {
  const auto r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r) return invalid("axis {} is outside [{}, {})", axis, -r, r);
  return axis < 0 ? axis + r : axis;
}

}  // namespace carnot
