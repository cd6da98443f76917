// SPDX-License-Identifier: Apache-2.0
// Groups of element-wise work and moves: one kernel in which every result's element is traced back to the operands' elements that it is
// made of. Where all rows are whole packs, a thread traces a pack.
#include <algorithm>

#include "ops/concat.hpp"
#include "ops/gather.hpp"
#include "ops/group.hpp"
#include "ops/slice.hpp"
#include "ops/transpose.hpp"
#include "tactics/cuda/support_expression.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

bool is_view(const ir::Node& n) { return n.op.info().view; }
bool is_element_wise(const ir::Node& n) { return n.op.info().pointwise; }

// The numbers of a constant operand; what the node reads may be a parameter of the group's body.
std::optional<std::vector<int64_t>> ints(const Problem& p, const ir::Value* v) {
  const auto& parameters = p.node.bodies[0]->inputs();
  const auto it = std::find(parameters.begin(), parameters.end(), v);
  if (it != parameters.end()) v = p.node.in(static_cast<size_t>(it - parameters.begin()));
  if (!v || !v->constant) return std::nullopt;
  auto values = to_int64s(v->constant->view());
  return values ? std::optional(std::move(*values)) : std::nullopt;
}

// Where a slice begins along each axis.
std::optional<std::vector<int64_t>> starts_of(const Problem& p, const ir::Node& n) {
  const Shape& x = n.in(0)->shape();
  const auto given = ints(p, n.in(1));
  const auto axes = n.has(3) ? ints(p, n.in(3)) : std::optional(std::vector<int64_t>());
  const auto steps = n.has(4) ? ints(p, n.in(4)) : std::optional(std::vector<int64_t>());
  if (!given || !axes || !steps || std::any_of(steps->begin(), steps->end(), [](int64_t s) { return s != 1; })) return std::nullopt;
  std::vector<int64_t> starts(x.size(), 0);
  for (size_t i = 0; i < given->size(); ++i) {
    const auto axis = normalize_axis(n.has(3) ? (*axes)[i] : static_cast<int64_t>(i), x.size());
    if (!axis || !x[static_cast<size_t>(*axis)].is_constant()) return std::nullopt;
    const int64_t size = x[static_cast<size_t>(*axis)].value();
    starts[static_cast<size_t>(*axis)] = std::clamp<int64_t>((*given)[i] < 0 ? (*given)[i] + size : (*given)[i], 0, size);
  }
  return starts;
}

struct Row {
  size_t axis = 0;
  int64_t index = 0;
};
std::optional<Row> row_of(const Problem& p, const ir::Node& n) {
  const auto* gather = n.as<ops::Gather>();
  const auto index = gather ? ints(p, n.in(1)) : std::nullopt;
  if (!index || index->size() != 1 || n.in(1)->rank() > 1) return std::nullopt;
  const auto axis = normalize_axis(gather->axis, n.in(0)->rank());
  if (!axis) return std::nullopt;
  const Dim& size = n.in(0)->shape()[static_cast<size_t>(*axis)];
  if (!size.is_constant() || (*index)[0] >= size.value() || (*index)[0] < -size.value()) return std::nullopt;
  return Row{static_cast<size_t>(*axis), (*index)[0] < 0 ? (*index)[0] + size.value() : (*index)[0]};
}

Refusal refuses_node(const Problem& p, const ir::Node& n) {
  if (is_element_wise(n)) return refuses_step(n);
  if (n.outputs.size() != 1 || storage_type(n.out()->dtype()).empty()) return "dtype of a result";
  if (n.as<ops::Concat>() || is_view(n)) return {};
  if (const auto* transpose = n.as<ops::Transpose>()) return transpose->perm_for(n.in(0)->rank()) ? "" : "perm";
  if (n.as<ops::Slice>()) return starts_of(p, n) ? "" : "positions of a slice are computed at run time";
  if (n.as<ops::Gather>()) return row_of(p, n) ? "" : "an index that is computed at run time";
  return fmt::format("{} in the group", n.op.name());
}

const Dim kOne = 1;
const Dim& last_of(const ir::Value* v) { return v->rank() == 0 ? kOne : v->shape().back(); }
bool whole_packs(const Dim& d, int64_t lanes) { return d.is_constant() && d.value() % lanes == 0; }

// Whether packs of the result are packs of everything it is made of.
bool fits(const Problem& p, const ir::Node& n, int64_t lanes) {
  const Dim& to = last_of(n.out());
  if (is_element_wise(n))
    return std::all_of(n.inputs.begin(), n.inputs.end(), [&](const ir::Value* v) { return !v || (v->constant && v->constant->size() == 1) || last_of(v).is(1) || last_of(v) == to; });
  auto same = [&](const ir::Value* x) { return last_of(x) == to || (whole_packs(last_of(x), lanes) && whole_packs(to, lanes)); };
  if (const auto* concat = n.as<ops::Concat>()) {
    const bool rows = *normalize_axis(concat->axis, n.out()->rank()) + 1 == static_cast<int64_t>(n.out()->rank());
    return std::all_of(n.inputs.begin(), n.inputs.end(), [&](const ir::Value* x) { return rows ? whole_packs(last_of(x), lanes) : same(x); });
  }
  if (!same(n.in(0))) return false;
  if (const auto* transpose = n.as<ops::Transpose>()) {
    const auto perm = transpose->perm_for(n.in(0)->rank());
    return perm->empty() || perm->back() + 1 == static_cast<int64_t>(perm->size());
  }
  if (n.as<ops::Slice>()) return n.out()->rank() == 0 || starts_of(p, n)->back() % lanes == 0;
  if (n.as<ops::Gather>()) return row_of(p, n)->axis + 1 < n.in(0)->rank();
  return true;
}

// Writes the statements that compute results at coordinates.
class Tracer {
 public:
  using Place = std::vector<std::string>;

  Tracer(Kernel& k, const Problem& p, int64_t lanes) : k_(k), p_(p), body_(*p.node.bodies[0]), lanes_(lanes) {}

  // The name of the Pack that holds `lanes` elements of v from this place on.
  std::string trace(const ir::Value* v, Place place) {
    std::string key = fmt::format("{}", static_cast<const void*>(v));
    for (const std::string& c : place) key += "|" + c;
    for (const auto& scope : known_)
      if (auto it = scope.find(key); it != scope.end()) return it->second;
    const std::string name = fresh("p");
    if (!v->producer) read(v, place, name);
    else if (is_element_wise(*v->producer)) compute(*v->producer, place, name);
    else if (v->producer->as<ops::Concat>()) join(*v->producer, place, name);
    else return known_.back()[key] = trace(v->producer->in(0), before(*v->producer, std::move(place)));
    return known_.back()[key] = name;
  }

  std::string text;

 private:
  std::string fresh(std::string_view prefix) { return fmt::format("{}{}", prefix, next_++); }
  std::string pack(const ir::Value* v) const { return fmt::format("Pack<{}, {}>", compute_type(v->dtype()), lanes_); }
  // An index that is needed more than once.
  std::string index(const std::string& expression) {
    const std::string name = fresh("i");
    text += fmt::format("  const I {} = {};\n", name, expression);
    return name;
  }

  void read(const ir::Value* v, const Place& place, const std::string& name) {
    const auto& parameters = body_.inputs();
    const std::string x = fmt::format("x{}", std::find(parameters.begin(), parameters.end(), v) - parameters.begin());
    const Shape strides = strides_of(k_.shape(v->shape()));
    std::string at;
    for (size_t a = 0; a < place.size(); ++a)
      if (place[a] != "0") at += fmt::format("{}{}{}", at.empty() ? "" : " + ", place[a], strides[a].is(1) ? "" : " * " + k_.value(strides[a]));
    if (at.empty()) at = "0";
    text += fmt::format("  {} {};\n", pack(v), name);
    if (lanes_ == 1 || last_of(v).is(1))
      text += fmt::format("  {{ const auto one = up({}[{}]);\n#pragma unroll\n  for (int j = 0; j < {}; ++j) {}.v[j] = one; }}\n", x, at, lanes_, name);
    else
      text += fmt::format("  {{ const auto raw = load<{}>({} + ({}));\n#pragma unroll\n  for (int j = 0; j < {}; ++j) {}.v[j] = up(raw.v[j]); }}\n", lanes_, x, at, lanes_, name);
  }

  void compute(const ir::Node& n, const Place& place, const std::string& name) {
    Expression e(k_);
    for (const ir::Value* v : n.inputs) {
      if (!v || e.knows(v)) continue;
      // Broadcast: axes of one element stay at it; where only a run can tell, the dim decides.
      Place at;
      const Shape own = k_.shape(v->shape()), to = k_.shape(n.out()->shape());
      for (size_t a = 0; a < own.size(); ++a) {
        const std::string& c = place[place.size() - own.size() + a];
        const bool same = own[a] == to[to.size() - own.size() + a] || own[a].is_constant();
        at.push_back(own[a].is(1) ? "0" : same || c == "0" ? c : index(fmt::format("{} * {}", c, k_.value(Dim::min(own[a] - 1, 1)))));
      }
      e.bind(v, trace(v, std::move(at)) + ".v[j]");
    }
    CARNOT_CHECK(e.add(n).empty());
    text += fmt::format("  {} {};\n#pragma unroll\n  for (int j = 0; j < {}; ++j) {{\n{}  {}.v[j] = {};\n  }}\n", pack(n.out()), name, lanes_, e.text, name, e.variable(n.out()));
  }

  void join(const ir::Node& n, const Place& place, const std::string& name) {
    const auto axis = static_cast<size_t>(*normalize_axis(n.as<ops::Concat>()->axis, place.size()));
    text += fmt::format("  {} {};\n", pack(n.out()), name);
    Dim begin = 0;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const Dim end = begin + k_.dim(n.in(i)->shape()[axis]);
      text += i + 1 == n.inputs.size() ? "  {\n" : fmt::format("  if ({} < {}) {{\n", place[axis], k_.value(end));
      known_.emplace_back();
      Place at = place;
      if (!begin.is(0)) at[axis] = index(fmt::format("{} - {}", place[axis], k_.value(begin)));
      const std::string part = trace(n.in(i), std::move(at));
      known_.pop_back();
      text += fmt::format("  {} = {};\n  }}{}\n", name, part, i + 1 == n.inputs.size() ? "" : " else");
      begin = end;
    }
  }

  // The place in what a move reads.
  Place before(const ir::Node& n, Place place) {
    if (n.as<ops::Slice>()) {
      const std::vector<int64_t> starts = *starts_of(p_, n);
      for (size_t a = 0; a < place.size(); ++a)
        if (starts[a] != 0) place[a] = index(fmt::format("{} + {}", place[a], literal(starts[a])));
      return place;
    }
    if (const auto* transpose = n.as<ops::Transpose>()) {
      const auto perm = transpose->perm_for(n.in(0)->rank());
      Place from(place.size());
      for (size_t a = 0; a < place.size(); ++a) from[static_cast<size_t>((*perm)[a])] = place[a];
      return from;
    }
    if (n.as<ops::Gather>()) {
      const Row row = *row_of(p_, n);
      const auto at = place.begin() + static_cast<std::ptrdiff_t>(row.axis);
      if (n.in(1)->rank() == 1) *at = literal(row.index);
      else place.insert(at, literal(row.index));
      return place;
    }
    return reshaped(k_.shape(n.out()->shape()), k_.shape(n.in(0)->shape()), place);
  }

  // Axes of one element aside, both shapes fall into runs of axes with equally many elements.
  Place reshaped(const Shape& to, const Shape& from, const Place& place) {
    Place out(from.size(), "0");
    size_t i = 0, j = 0;
    auto skip = [](const Shape& s, size_t& at) {
      while (at < s.size() && s[at].is(1)) ++at;
    };
    for (;;) {
      skip(from, i), skip(to, j);
      if (i == from.size() || j == to.size()) return out;
      const size_t i0 = i, j0 = j;
      Dim x = from[i++], y = to[j++];
      while (!(x == y) && (i < from.size() || j < to.size())) {
        const bool grow_from = j == to.size() || (i < from.size() && x.is_constant() && (!y.is_constant() || x.value() < y.value()));
        if (grow_from) x = x * from[i++];
        else y = y * to[j++];
      }
      if (i == i0 + 1 && j == j0 + 1) {
        out[i0] = place[j0];
        continue;
      }
      std::string rest;
      for (size_t a = j0; a < j; ++a) rest = a == j0 ? place[a] : fmt::format("({}) * {} + {}", rest, k_.value(to[a]), place[a]);
      rest = index(rest);
      for (size_t a = i; a-- > i0 + 1;) {
        const std::string size = k_.value(from[a]), quotient = index(fmt::format("quotient<I>({}, {})", rest, size));
        out[a] = index(fmt::format("{} - {} * {}", rest, quotient, size));
        rest = quotient;
      }
      out[i0] = rest;
    }
  }

  Kernel& k_;
  const Problem& p_;
  const ir::Graph& body_;
  const int64_t lanes_;
  int next_ = 0;
  std::vector<std::map<std::string, std::string>> known_{{}};  // what was computed, by the blocks that are open
};

class IndexedTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.indexed"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& p) const override {
    const auto* group = p.node.as<ops::Group>();
    if (!group || group->kind != "indexed") return "other operator";
    for (const auto& n : p.node.bodies[0]->nodes())
      if (Refusal r = refuses_node(p, *n); !r.empty()) return r;
    for (const ir::Value* v : p.node.inputs)
      if (storage_type(v->dtype()).empty()) return fmt::format("dtype {}", dtype_name(v->dtype()));
    for (const ir::Value* v : p.node.outputs)
      if (!(v->shape() == p.node.outputs[0]->shape())) return "results of different shapes";
    auto candidate = build(p, {});
    return candidate ? "" : candidate.error().message;
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const ir::Graph& body = *p.node.bodies[0];
    Kernel k(p);
    size_t narrow = 8, wide = 1;
    for (size_t i = 0; i < p.node.inputs.size(); ++i) {
      k.input(fmt::format("x{}", i), i);
      // Numbers that only say where to read are read by the compiler.
      if (p.node.in(i)->constant && !is_float(p.node.in(i)->dtype())) continue;
      narrow = std::min(narrow, dtype_size(p.node.in(i)->dtype())), wide = std::max(wide, dtype_size(p.node.in(i)->dtype()));
    }
    for (size_t i = 0; i < p.node.outputs.size(); ++i) {
      k.output(fmt::format("y{}", i));
      narrow = std::min(narrow, dtype_size(p.node.outputs[i]->dtype())), wide = std::max(wide, dtype_size(p.node.outputs[i]->dtype()));
    }
    const Shape to = k.out_shape();
    const Dim total = size_of(to);
    int64_t lanes = wide == 8 ? 2 : std::min<int64_t>(8, 16 / static_cast<int64_t>(narrow));
    // Few elements: more threads with less work each.
    while (lanes > 1 && total.is_constant() && total.value() < lanes * 132 * 256 && lanes * static_cast<int64_t>(narrow) > 4) lanes /= 2;
    auto fit = [&] {
      return !to.empty() && whole_packs(to.back(), lanes) && std::all_of(body.nodes().begin(), body.nodes().end(), [&](const auto& n) { return fits(p, *n, lanes); });
    };
    while (lanes > 1 && !fit()) lanes /= 2;

    k.body = "  const I first = (I)blockIdx.x * 256 + (I)threadIdx.x, step = (I)gridDim.x * 256;\n";
    if (lanes > 1) {
      std::string ready;
      for (size_t i = 0; i < p.node.inputs.size(); ++i)
        if (!last_of(p.node.in(i)).is(1)) ready += fmt::format("{}aligned<{}>(x{})", ready.empty() ? "" : " && ", lanes, i);
      for (size_t i = 0; i < p.node.outputs.size(); ++i) ready += fmt::format("{}aligned<{}>(y{})", ready.empty() ? "" : " && ", lanes, i);
      const std::string packs = loop(k, p, to, lanes);
      k.body += fmt::format("  if ({}) {{\n{}  }} else {{\n{}  }}\n", ready, packs, loop(k, p, to, 1));
    } else {
      k.body += loop(k, p, to, 1);
    }
    if (k.fails()) return fail(Code::kUnsupported, "a position hangs on a dim that no operand tells");
    return k.finish("indexed", {.x = Dim::ceildiv(total, 256 * lanes)});
  }

 private:
  static std::string loop(Kernel& k, const Problem& p, const Shape& to, int64_t lanes) {
    Shape sizes = to;
    if (lanes > 1) sizes.back() = Dim(sizes.back().value() / lanes);
    std::string text = fmt::format("  for (I q = first; q < {}; q += step) {{\n", k.value(size_of(sizes))) + unravel(k, "q", sizes, "c");
    Tracer::Place place;
    for (size_t a = 0; a < to.size(); ++a) place.push_back(to[a].is(1) ? "0" : fmt::format("c{}", a));
    if (lanes > 1) {
      text += fmt::format("  const I inner = c{} * {};\n", to.size() - 1, lanes);
      place.back() = "inner";
    }
    Tracer tracer(k, p, lanes);
    const auto& results = p.node.bodies[0]->outputs();
    std::string stores;
    for (size_t i = 0; i < results.size(); ++i) {
      const std::string name = tracer.trace(results[i], place), type = storage_type(results[i]->dtype());
      stores += fmt::format("  {{ Pack<{}, {}> w;\n#pragma unroll\n  for (int j = 0; j < {}; ++j) w.v[j] = down<{}>({}.v[j]);\n  store<{}>(y{} + q * {}, w); }}\n", type, lanes, lanes, type, name,
                            lanes, i, lanes);
    }
    return text + tracer.text + stores + "  }\n";
  }
};

}  // namespace

CARNOT_TACTICS(cuda, indexed, IndexedTactic)

}  // namespace carnot::tactics
