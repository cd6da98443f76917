// SPDX-License-Identifier: Apache-2.0
// What a Dim that is no number holds: a sum of products of atoms. Internal to base/dims*.cpp.
#pragma once
#include <algorithm>

#include "base/dims.hpp"

namespace carnot {

enum class AtomKind : uint8_t { kSymbol, kFloorDiv, kCeilDiv, kMod, kMin, kMax };

struct Atom {
  AtomKind kind = AtomKind::kSymbol;
  std::string name;
  Dim a, b;
  friend bool operator==(const Atom& x, const Atom& y) {
    return x.kind == y.kind && x.name == y.name && x.a == y.a && x.b == y.b;
  }
  friend bool operator<(const Atom& x, const Atom& y) {
    if (x.kind != y.kind) return x.kind < y.kind;
    if (x.name != y.name) return x.name < y.name;
    if (!(x.a == y.a)) return x.a < y.a;
    return x.b < y.b;
  }
};

struct Term {
  int64_t coefficient = 0;
  std::vector<Atom> atoms;  // sorted; repeated for powers
};

// Terms sorted by atoms (longer products first, the constant last), no zero coefficients, no duplicates.
struct DimPoly {
  std::vector<Term> terms;

  static bool before(const std::vector<Atom>& x, const std::vector<Atom>& y) {
    if (x.size() != y.size()) return x.size() > y.size();
    return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end());
  }
  static DimPoly of(const Dim& d) {
    if (d.poly_) return *d.poly_;
    DimPoly p;
    if (d.constant_ != 0) p.terms.push_back({d.constant_, {}});
    return p;
  }
  void normalize() {
    std::sort(terms.begin(), terms.end(), [](const Term& x, const Term& y) { return before(x.atoms, y.atoms); });
    std::vector<Term> merged;
    for (Term& t : terms) {
      if (!merged.empty() && merged.back().atoms == t.atoms)
        merged.back().coefficient += t.coefficient;
      else
        merged.push_back(std::move(t));
    }
    std::erase_if(merged, [](const Term& t) { return t.coefficient == 0; });
    terms = std::move(merged);
  }
  static Dim make(DimPoly p) {
    p.normalize();
    if (p.terms.empty()) return Dim(0);
    if (p.terms.size() == 1 && p.terms[0].atoms.empty()) return Dim(p.terms[0].coefficient);
    return Dim::from_poly(std::move(p));
  }
  static Dim atom(AtomKind kind, const Dim& a, const Dim& b) {
    DimPoly p;
    p.terms.push_back({1, {Atom{kind, "", a, b}}});
    return make(std::move(p));
  }
};

}  // namespace carnot
