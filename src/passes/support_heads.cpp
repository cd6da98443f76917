// SPDX-License-Identifier: Apache-2.0
#include "passes/support_heads.hpp"

#include <algorithm>

#include "ops/gather.hpp"
#include "ops/split.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {

AxisMap::AxisMap(const Shape& first) {
  for (size_t i = 0; i < first.size(); ++i) {
    axes_.emplace_back();
    if (first[i].is(1)) continue;
    order_.push_back(static_cast<int>(atoms_.size()));
    axes_.back().push_back(static_cast<int>(atoms_.size()));
    atoms_.push_back({.size = first[i], .count = first[i], .root = i});
  }
}

bool AxisMap::transpose(const std::vector<int64_t>& perm) {
  std::vector<std::vector<int>> out;
  for (int64_t p : perm) out.push_back(axes_[static_cast<size_t>(p)]);
  axes_ = std::move(out);
  return true;
}

int AxisMap::split(int a, const Dim& outer, const Dim& inner) {
  Atom& whole = atoms_[static_cast<size_t>(a)];
  Atom rest{.size = inner, .count = inner, .repeated = whole.repeated, .root = whole.root};
  if (is_whole(whole)) {
    whole.size = outer;
  } else {
    if (!whole.size.is_constant() || !inner.is_constant() || inner.value() == 0 ||
        whole.size.value() % inner.value() != 0 || whole.begin % inner.value() != 0)
      return -1;
    whole.size = whole.size.value() / inner.value();
    whole.begin /= inner.value();
  }
  whole.count = outer;
  const int b = static_cast<int>(atoms_.size());
  if (auto it = std::find(order_.begin(), order_.end(), a); it != order_.end()) order_.insert(it + 1, b);
  for (auto& axis : axes_)
    if (auto it = std::find(axis.begin(), axis.end(), a); it != axis.end()) axis.insert(it + 1, b);
  atoms_.push_back(rest);
  return b;
}

bool AxisMap::reshape(const Shape& to) {
  std::vector<int> rest;
  for (const auto& axis : axes_)
    for (int a : axis)
      if (!atoms_[static_cast<size_t>(a)].count.is(1)) rest.push_back(a);
  std::vector<std::vector<int>> out;
  size_t next = 0;
  for (const Dim& d : to) {
    out.emplace_back();
    if (d.is(0)) return false;
    Dim need = d;
    while (!need.is(1)) {
      if (next == rest.size()) return false;
      const int a = rest[next++];
      const Dim count = atoms_[static_cast<size_t>(a)].count;
      out.back().push_back(a);
      if (count == need) break;
      if (auto left = Dim::exact_div(need, count)) {
        need = *left;
        continue;
      }
      const auto inner = Dim::exact_div(count, need);
      if (!inner) return false;
      const int b = split(a, need, *inner);
      if (b < 0) return false;
      rest.insert(rest.begin() + static_cast<std::ptrdiff_t>(next), b);
      break;
    }
  }
  if (next != rest.size()) return false;
  axes_ = std::move(out);
  return true;
}

bool AxisMap::select(size_t axis, int64_t begin, int64_t count) {
  const std::vector<int>& held = axes_[axis];
  // An axis of several factors: the selection must be one of the outermost.
  Dim inner(1);
  for (size_t i = 1; i < held.size(); ++i) inner = inner * atoms_[static_cast<size_t>(held[i])].count;
  if (held.empty()) return begin == 0 && count == 1;
  Atom& a = atoms_[static_cast<size_t>(held[0])];
  if (!inner.is_constant() || inner.value() < 1 || begin % inner.value() != 0 || count % inner.value() != 0 ||
      a.repeated || count < 1)
    return false;
  a.begin += begin / inner.value();
  a.count = count / inner.value();
  return true;
}

bool AxisMap::spread(size_t axis, const Dim& count) {
  axes_[axis] = {static_cast<int>(atoms_.size())};
  atoms_.push_back({.size = count, .count = count, .repeated = true});
  return true;
}

bool AxisMap::apply(const ir::Node* node, size_t output) {
  const Shape &in = node->in(0)->shape(), &out = node->outputs[output]->shape();
  if (auto perm = perm_of(node)) return transpose(*perm);
  if (is_reshape(node)) return reshape(out);
  const std::string_view name = node->op.name();
  if (const auto* gather = node->as<ops::Gather>()) {
    const auto axis = normalize_axis(gather->axis, in.size());
    const auto index = ints_of(node->in(1));
    if (!axis || !index || index->size() != 1 || !in[static_cast<size_t>(*axis)].is_constant()) return false;
    const auto at = static_cast<size_t>(*axis);
    const int64_t size = in[at].value(), place = (*index)[0] < 0 ? (*index)[0] + size : (*index)[0];
    if (place < 0 || place >= size || !select(at, place, 1)) return false;
    return reshape(out);
  }
  if (const auto* cut = node->as<ops::Split>()) {
    const auto axis = normalize_axis(cut->axis, in.size());
    if (!axis) return false;
    const auto at = static_cast<size_t>(*axis);
    int64_t begin = 0;
    for (size_t i = 0; i <= output; ++i) {
      const Dim& part = node->outputs[i]->shape()[at];
      if (!part.is_constant()) return false;
      if (i == output) return select(at, begin, part.value());
      begin += part.value();
    }
  }
  if (name == "slice") {
    const auto starts = ints_of(node->in(1));
    const auto axes = node->has(3) ? ints_of(node->in(3)) : std::nullopt;
    const auto steps = node->has(4) ? ints_of(node->in(4)) : std::nullopt;
    if (!starts || !axes || (node->has(4) && !steps)) return false;
    for (size_t i = 0; i < starts->size(); ++i) {
      const auto axis = normalize_axis((*axes)[i], in.size());
      if (!axis || (steps && (*steps)[i] != 1)) return false;
      const auto at = static_cast<size_t>(*axis);
      if (!in[at].is_constant() || !out[at].is_constant()) return false;
      const int64_t size = in[at].value(), start = (*starts)[i] < 0 ? (*starts)[i] + size : (*starts)[i];
      if (start < 0 || start + out[at].value() > size || !select(at, start, out[at].value())) return false;
    }
    return true;
  }
  if (name == "expand") {
    if (out.size() != in.size()) return false;
    for (size_t i = 0; i < in.size(); ++i)
      if (!(in[i] == out[i]) && (!in[i].is(1) || !spread(i, out[i]))) return false;
    return true;
  }
  return false;
}

std::optional<AxisMap::Heads> AxisMap::heads(std::string_view roles) const {
  if (axes_.size() != roles.size()) return std::nullopt;
  // Whose each atom is; in the order of an axis, atoms must follow each other as in memory.
  std::vector<char> owner(atoms_.size(), '-');
  std::vector<size_t> rank(atoms_.size(), 0);
  Heads out;
  Dim repeats(1), count(1);
  for (size_t i = 0; i < roles.size(); ++i) {
    for (size_t k = 0; k < axes_[i].size(); ++k) {
      const auto a = static_cast<size_t>(axes_[i][k]);
      const Atom& atom = atoms_[a];
      if (atom.repeated) {
        if (roles[i] == 'h' && k + 1 == axes_[i].size())
          repeats = atom.count;
        else if (roles[i] == 'b' && axes_[i].size() == 1)
          out.repeated_batch = true;
        else
          return std::nullopt;
        continue;
      }
      if (!is_whole(atom) && atom.count.is(1)) continue;  // belongs to nobody, below
      if (!is_whole(atom) && (roles[i] != 'h' || k != 0)) return std::nullopt;
      owner[a] = roles[i];
      rank[a] = k;
      if (roles[i] == 'h') count = count * atom.count;
    }
  }
  if (!repeats.is_constant() || !count.is_constant()) return std::nullopt;
  out.count = count.value();
  out.repeats = repeats.value();
  // Runs of one owner, memory order. Atoms of which one place is selected go in front of the heads.
  for (size_t i = 0; i < order_.size(); ++i) {
    const auto a = static_cast<size_t>(order_[i]);
    const Atom& atom = atoms_[a];
    const char who = owner[a] == '-' ? 'h' : owner[a];
    if (out.layout.empty() || out.layout.back() != who) {
      if (out.layout.find(who) != std::string::npos) return std::nullopt;
      out.layout += who;
      out.shape.emplace_back(1);
    } else if (owner[a] == '-') {
      // A selected place behind other atoms of h would leave gaps between heads.
      const auto before = static_cast<size_t>(order_[i - 1]);
      if (owner[before] == 'h') return std::nullopt;
    } else {
      const auto before = static_cast<size_t>(order_[i - 1]);
      if (owner[before] == who && rank[before] > rank[a]) return std::nullopt;
      // A selection must be outermost.
      if (!is_whole(atom) && owner[before] == who) return std::nullopt;
    }
    out.shape.back() = out.shape.back() * atom.size;
    if (who == 'h') {
      if (!atom.size.is_constant()) return std::nullopt;
      out.first = out.first * atom.size.value() + atom.begin;
    }
  }
  // Axes of size 1 may stand anywhere.
  for (char role : {'d', 'h', 's', 'b'}) {
    if (out.layout.find(role) != std::string::npos) continue;
    const size_t at = role == 'd' ? out.layout.size() : role == 'h' ? out.layout.find('d') : 0;
    out.layout.insert(at, 1, role);
    out.shape.insert(out.shape.begin() + static_cast<std::ptrdiff_t>(at), Dim(1));
  }
  return out;
}

std::optional<std::string> AxisMap::order(std::string_view roles) const {
  std::string out;
  std::map<char, int> last;
  for (const auto& axis : axes_)
    for (int a : axis) {
      const Atom& atom = atoms_[static_cast<size_t>(a)];
      if (atom.repeated || !is_whole(atom)) return std::nullopt;
      const char role = roles[atom.root];
      const int place = static_cast<int>(std::find(order_.begin(), order_.end(), a) - order_.begin());
      if (out.empty() || out.back() != role) {
        if (out.find(role) != std::string::npos) return std::nullopt;
        out += role;
      } else if (last[role] > place) {
        return std::nullopt;
      }
      last[role] = place;
    }
  for (size_t i = roles.size(); i-- > 0;)
    if (out.find(roles[i]) == std::string::npos) out.insert(out.begin(), roles[i]);
  return out;
}

std::optional<HeadSource> find_heads(ir::Value* operand, std::string_view roles, int64_t group, bool repeats) {
  struct Step {
    ir::Node* node;
    size_t input, output;
  };
  std::vector<Step> steps;  // last first
  for (ir::Value* v = operand; v->producer && steps.size() < 32;) {
    ir::Node* node = v->producer;
    const std::string_view name = node->op.name();
    size_t input = 0;
    if (name == "mul" || name == "div") {
      if (name == "mul" && scalar_of(node->in(0))) input = 1;
      const ir::Value* other = node->in(1 - input);
      if (!scalar_of(other) || !same_shape(node->in(input), v)) break;
    } else if (!is_reshape(node) && name != "transpose" && name != "gather" && name != "slice" && name != "split" &&
               name != "expand") {
      break;
    }
    steps.push_back({node, input, v->producer_index});
    v = node->in(input);
  }
  Shape split;  // [batch, heads, ...] of an operand [batch * heads, ...]
  if (operand->rank() == 3) {
    const auto batch = Dim::exact_div(operand->shape()[0], group);
    if (!batch) return std::nullopt;
    split = {*batch, group, operand->shape()[1], operand->shape()[2]};
  }
  for (size_t used = steps.size() + 1; used-- > 0;) {
    HeadSource out;
    out.tensor = used == 0 ? operand : steps[used - 1].node->in(steps[used - 1].input);
    AxisMap map(out.tensor->shape());
    bool good = true;
    for (size_t i = used; good && i-- > 0;) {
      const Step& s = steps[i];
      const std::string_view name = s.node->op.name();
      if (name == "mul" || name == "div") {
        const double number = *scalar_of(s.node->in(1 - s.input));
        out.scale *= name == "mul" ? number : 1 / number;
      } else {
        good = map.apply(s.node, s.output);
      }
    }
    if (!good || (!split.empty() && !map.reshape(split))) continue;
    auto heads = map.heads(roles);
    if (!heads || (!repeats && (heads->repeats != 1 || heads->repeated_batch)) ||
        !reshape_operand(out.tensor->shape(), heads->shape))
      continue;
    out.heads = std::move(*heads);
    return out;
  }
  return std::nullopt;
}

}  // namespace carnot::passes
