// SPDX-License-Identifier: Apache-2.0
// Element-wise operators, casts and groups of them: one kernel that reads each operand and writes each result once.
#include <algorithm>

#include "ops/cast.hpp"
#include "ops/group.hpp"
#include "ops/pointwise.hpp"
#include "tactics/cuda/support_expression.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

struct Region {
  std::vector<const ir::Node*> steps;
  std::vector<const ir::Value*> inputs;  // as the steps know them; constants of one element are left out
  std::vector<const ir::Value*> outputs;
  Refusal refusal;
};

Region read(const ir::Node& node) {
  Region r;
  if (const auto* group = node.as<ops::Group>()) {
    if (group->kind != "pointwise") return {.refusal = "other operator"};
    for (const auto& step : node.bodies[0]->nodes()) r.steps.push_back(step.get());
    r.outputs.assign(node.bodies[0]->outputs().begin(), node.bodies[0]->outputs().end());
  } else {
    if (!node.op.info().pointwise && !node.as<ops::Cast>()) return {.refusal = "other operator"};
    r.steps.push_back(&node);
    r.outputs.push_back(node.out());
  }
  std::vector<const ir::Value*> made;
  for (const ir::Node* step : r.steps) {
    if (r.refusal = refuses_step(*step); !r.refusal.empty()) return r;
    for (const ir::Value* v : step->inputs) {
      if (!v || std::find(made.begin(), made.end(), v) != made.end() || std::find(r.inputs.begin(), r.inputs.end(), v) != r.inputs.end()) continue;
      if (v->constant && v->constant->size() == 1) continue;
      r.inputs.push_back(v);
    }
    made.push_back(step->out());
  }
  for (const ir::Value* v : node.outputs)
    if (!(v->shape() == node.outputs[0]->shape())) r.refusal = "results of different shapes";
  return r;
}

// How an operand lies along the innermost axis.
enum class Lie { kRow, kOne };

class PointwiseTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.pointwise"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override { return read(p.node).refusal; }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const Region r = read(p.node);
    Kernel k(p);
    Expression e(k);
    size_t wide_bytes = 1, narrow_bytes = 8;
    for (size_t i = 0; i < r.inputs.size(); ++i) {
      const ir::Value* v = r.inputs[i];
      // Inside a group the program's inputs are the body's parameters, in any order.
      const auto& places = p.node.as<ops::Group>() ? p.node.bodies[0]->inputs() : p.node.inputs;
      const auto it = std::find(places.begin(), places.end(), v);
      if (it != places.end()) k.input(fmt::format("x{}", i), static_cast<size_t>(it - places.begin()));
      else k.packed(fmt::format("x{}", i), *v->constant);
      e.bind(v, fmt::format("x{}", i));
    }
    for (size_t i = 0; i < r.outputs.size(); ++i) k.output(fmt::format("y{}", i));
    for (const ir::Node* step : r.steps)
      if (Refusal why = e.add(*step); !why.empty()) return fail(Code::kInternal, "{}", why);

    Space space{k.out_shape(), {strides_of(k.out_shape())}};
    for (const ir::Value* v : r.inputs) space.strides.push_back(broadcast_strides(k.shape(v->shape()), k.out_shape()));
    const Dim total = size_of(space.sizes);
    space.collapse();
    if (space.sizes.empty()) {
      space.sizes = {1};
      for (Shape& s : space.strides) s = {1};
    }
    const Dim inner = space.sizes.back();
    const bool flat = space.sizes.size() == 1;
    // Wide accesses need the operands' rows to be runs of elements, or a single one.
    bool wide = !inner.is(1);
    std::vector<Lie> lies;
    for (size_t i = 0; i < r.inputs.size(); ++i) {
      const Dim& step = space.strides[1 + i].back();
      lies.push_back(step.is(0) ? Lie::kOne : Lie::kRow);
      wide = wide && (step.is(0) || step.is(1));
      if (step.is(1)) narrow_bytes = std::min(narrow_bytes, dtype_size(r.inputs[i]->dtype())), wide_bytes = std::max(wide_bytes, dtype_size(r.inputs[i]->dtype()));
    }
    for (const ir::Value* v : r.outputs) narrow_bytes = std::min(narrow_bytes, dtype_size(v->dtype())), wide_bytes = std::max(wide_bytes, dtype_size(v->dtype()));
    int64_t lanes = std::min<int64_t>(8, 16 / static_cast<int64_t>(narrow_bytes));
    if (wide_bytes == 8) lanes = 2;
    // Few elements: more threads with less work each.
    while (lanes > 1 && total.is_constant() && total.value() < lanes * 132 * 256 && lanes * static_cast<int64_t>(narrow_bytes) > 4) lanes /= 2;
    if (!flat && inner.is_constant())
      while (lanes > 1 && inner.value() % lanes != 0) lanes /= 2;
    if (lanes == 1) wide = false;

    k.helper("element", element(r, e));
    const std::string n = k.value(total), one_by_one = scalar_loop(k, r, space, n);
    k.body = "  const I first = (I)blockIdx.x * 256 + (I)threadIdx.x, step = (I)gridDim.x * 256;\n";
    if (!wide) {
      k.body += one_by_one;
    } else {
      std::string ready = !flat && !inner.is_constant() ? fmt::format("{} % {} == 0", k.value(inner), lanes) : "true";
      for (size_t i = 0; i < r.inputs.size(); ++i)
        if (lies[i] == Lie::kRow) ready += fmt::format(" && aligned<{}>(x{})", lanes, i);
      for (size_t i = 0; i < r.outputs.size(); ++i) ready += fmt::format(" && aligned<{}>(y{})", lanes, i);
      k.body += fmt::format("  if ({}) {{\n{}  }} else {{\n{}  }}\n", ready, wide_loop(k, r, space, lies, n, lanes, flat), one_by_one);
    }
    if (!r.inputs.empty() && r.inputs[0]->shape() == p.out().shape && dtype_size(r.inputs[0]->dtype()) == dtype_size(p.out().dtype)) k.set_in_place();
    return k.finish("pointwise", {.x = Dim::ceildiv(total, 256 * (wide ? lanes : 1))});
  }

 private:
  static std::string element(const Region& r, Expression& e) {
    std::string parameters, results;
    for (size_t i = 0; i < r.inputs.size(); ++i) parameters += fmt::format("const {} x{}, ", compute_type(r.inputs[i]->dtype()), i);
    for (size_t i = 0; i < r.outputs.size(); ++i) {
      parameters += fmt::format("{}& y{}{}", storage_type(r.outputs[i]->dtype()), i, i + 1 < r.outputs.size() ? ", " : "");
      results += fmt::format("  y{} = down<{}>({});\n", i, storage_type(r.outputs[i]->dtype()), e.variable(r.outputs[i]));
    }
    return fmt::format("static __device__ __forceinline__ void element({}) {{\n{}{}}}\n", parameters, e.text, results);
  }

  static std::string scalar_loop(Kernel& k, const Region& r, const Space& space, const std::string& n) {
    std::string text = fmt::format("  for (I e = first; e < {}; e += step) {{\n", n) + unravel(k, "e", space.sizes, "c"), arguments;
    for (size_t i = 0; i < r.inputs.size(); ++i) arguments += fmt::format("up(x{}[{}]), ", i, dot(k, "c", space.strides[1 + i]));
    for (size_t i = 0; i < r.outputs.size(); ++i) arguments += fmt::format("y{}[e]{}", i, i + 1 < r.outputs.size() ? ", " : "");
    return text + fmt::format("    element({});\n  }}\n", arguments);
  }

  static std::string wide_loop(Kernel& k, const Region& r, const Space& space, const std::vector<Lie>& lies, const std::string& n, int64_t lanes, bool flat) {
    std::string text = fmt::format("  for (I p = first; p < {} / {}; p += step) {{\n    const I e = p * {};\n", n, lanes, lanes) + unravel(k, "e", space.sizes, "c");
    std::string arguments, tail, stores;
    for (size_t i = 0; i < r.inputs.size(); ++i) {
      const std::string at = dot(k, "c", space.strides[1 + i]);
      text += lies[i] == Lie::kRow ? fmt::format("    const auto v{} = load<{}>(x{} + {});\n", i, lanes, i, at) : fmt::format("    const auto v{} = up(x{}[{}]);\n", i, i, at);
      arguments += lies[i] == Lie::kRow ? fmt::format("up(v{}.v[j]), ", i) : fmt::format("v{}, ", i);
      tail += fmt::format("up(x{}[{}]), ", i, lies[i] == Lie::kRow ? "e" : "0");
    }
    for (size_t i = 0; i < r.outputs.size(); ++i) {
      const char* comma = i + 1 < r.outputs.size() ? ", " : "";
      text += fmt::format("    Pack<{}, {}> w{};\n", storage_type(r.outputs[i]->dtype()), lanes, i);
      arguments += fmt::format("w{}.v[j]{}", i, comma);
      tail += fmt::format("y{}[e]{}", i, comma);
      stores += fmt::format("    store<{}>(y{} + e, w{});\n", lanes, i, i);
    }
    text += fmt::format("#pragma unroll\n    for (int j = 0; j < {}; ++j) element({});\n{}  }}\n", lanes, arguments, stores);
    // What is left over: at most lanes - 1 elements.
    if (flat && !(space.sizes[0].is_constant() && space.sizes[0].value() % lanes == 0))
      text += fmt::format("  for (I e = {} / {} * {} + first; e < {}; e += step) element({});\n", n, lanes, lanes, n, tail);
    return text;
  }
};

}  // namespace

CARNOT_TACTICS(cuda, pointwise, PointwiseTactic)

}  // namespace carnot::tactics
