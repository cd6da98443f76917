// SPDX-License-Identifier: Apache-2.0
#include "passes/channels_last.hpp"

#include <algorithm>
#include <unordered_map>

#include "ops/gather.hpp"
#include "ops/reduce.hpp"
#include "ops/resize.hpp"
#include "ops/split.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

// [0, 2, ..., r - 1, 1]: out axis i = in axis perm[i].
std::vector<int64_t> to_last(size_t rank) {
  std::vector<int64_t> perm{0};
  for (size_t i = 2; i < rank; ++i) perm.push_back(static_cast<int64_t>(i));
  perm.push_back(1);
  return perm;
}

int64_t moved(int64_t axis, const std::vector<int64_t>& perm) {
  if (axis < 0) axis += static_cast<int64_t>(perm.size());
  return std::find(perm.begin(), perm.end(), axis) - perm.begin();
}

// The operator on permuted operands.
struct Form {
  ops::Operator op;
  std::vector<bool> data;          // which operands are permuted
  std::vector<ir::Value*> inputs;  // the others as they must be
  bool plain_result = false;       // the result has the same axes in the same order as before
};

Constant ints(const std::vector<int64_t>& values) { return Constant::from<int64_t>({static_cast<int64_t>(values.size())}, values); }

class Pass {
 public:
  explicit Pass(ir::Graph& graph) : g_(graph) {}

  bool run() {
    for (ir::Node* node : g_.node_list()) visit(node);
    return changed_;
  }

 private:
  // What runs channels-last wherever it comes from: a transpose or two cost less than the work in the other layout.
  static bool is_anchor(const ir::Node* node) {
    const std::string_view name = node->op.name();
    const size_t rank = node->in(0)->rank();
    if (name == "resize") return rank == 4 && node->as<ops::Resize>()->axes != std::vector<int64_t>{1, 2};
    return (name == "conv" || name == "conv_transpose" || name == "max_pool" || name == "average_pool") && rank >= 3 && rank <= 5 &&
           is_float(node->in(0)->dtype()) && attr_or<std::string>(node->op.attrs(), "layout", "nchw") == "nchw";
  }

  void visit(ir::Node* node) {
    if (node->op.name() == "group" || !node->bodies.empty() || node->outputs.empty() || !node->has(0)) return;
    if (auto perm = perm_of(node)) return visit_transpose(node, *perm);
    if (is_reshape(node)) return visit_reshape(node);
    const size_t rank = node->in(0)->rank();
    const size_t result_rank = node->out()->rank();
    const size_t r = node->op.info().pointwise ? result_rank : rank;
    if (r < 3 || r > 5) return;
    if (!is_anchor(node) && !worth_it(node)) return;
    const std::vector<int64_t> perm = to_last(r);
    auto form = form_of(node, perm);
    if (form) convert(node, *form, perm);
  }

  // The model's own transposes.
  void visit_transpose(ir::Node* node, const std::vector<int64_t>& perm) {
    ir::Value* x = node->in(0);
    const size_t rank = x->rank();
    if (rank < 3 || rank > 5) return;
    auto it = twin_.find(x);
    if (it != twin_.end() && perm == to_last(rank)) {
      g_.replace_uses(node->out(), it->second);
      changed_ = true;
    } else if (rank > 3 && perm == inverse(to_last(rank))) {
      twin_[node->out()] = x;
    }
  }

  // A chain of views that starts and ends as an image (channel shuffle): with the transposes on both sides simplify-views makes one
  // cheap transpose of it.
  void visit_reshape(ir::Node* node) {
    const size_t rank = node->out()->rank();
    auto next = std::next(node->position);
    if (rank < 4 || rank > 5 || next == g_.nodes().end()) return;
    bool turned = false;
    const ir::Value* v = node->in(0);
    while (v->producer && !twin_.count(v) && single_use(v) && (is_reshape(v->producer) || perm_of(v->producer))) {
      turned |= perm_of(v->producer).has_value();
      v = v->producer->in(0);
    }
    if (turned && v->rank() == rank && twin_.count(v)) last_of(node->out(), to_last(rank), next->get());
  }

  // At least as many operands come channels-last as would have to be transposed.
  bool worth_it(const ir::Node* node) const {
    size_t ready = 0, needed = 0;
    const bool many = node->op.info().pointwise || node->op.name() == "concat";
    for (size_t i = 0; i < (many ? node->inputs.size() : 1); ++i) {
      const ir::Value* v = node->in(i);
      if (!v || v->constant || v->rank() < 3) continue;
      // Next to nothing: [n, c, 1, 1].
      if (std::count_if(v->shape().begin() + 1, v->shape().end(), [](const Dim& d) { return !d.is(1); }) <= 1) continue;
      (twin_.count(v) ? ready : needed)++;
    }
    if (ready == 0) {
      // Only small operands: follow them, too, so that squeeze-and-excite stays in one layout.
      for (const ir::Value* v : node->inputs)
        if (v && twin_.count(v) && needed == 0) return true;
    }
    return ready > 0 && ready >= needed;
  }

  std::optional<Form> form_of(ir::Node* node, const std::vector<int64_t>& perm) {
    const size_t rank = perm.size();
    Form form{node->op, std::vector<bool>(node->inputs.size(), false), node->inputs};
    const std::string_view name = node->op.name();
    if (node->op.info().pointwise) {
      for (size_t i = 0; i < node->inputs.size(); ++i) {
        ir::Value* v = node->in(i);
        if (!v || v->rank() == 0 || (v->constant && v->constant->size() == 1 && v->rank() < rank)) continue;
        if (v->rank() != rank && !v->constant) return std::nullopt;
        form.data[i] = true;
      }
      auto op = node->op.permuted(perm);
      if (!op) return std::nullopt;
      form.op = *op;
      return form;
    }
    form.data[0] = true;
    if (name == "concat") {
      form.data.assign(node->inputs.size(), true);
    } else if (name == "slice") {
      return slice_form(node, std::move(form), perm);
    } else if (name == "pad") {
      return pad_form(node, std::move(form), perm);
    } else if (const auto* split = node->as<ops::Split>()) {
      ops::Split other = *split;
      other.axis = moved(split->axis, perm);
      form.op = ops::Operator(other);
      return form;
    } else if (const auto* resize = node->as<ops::Resize>()) {
      // The operands have an entry for each of `axes`; spelled out, those may stand in any order.
      ops::Resize other = *resize;
      if (other.axes.empty() && !spatial_only(node, other, form))
        for (size_t i = 0; i < rank; ++i) other.axes.push_back(static_cast<int64_t>(i));
      form.op = ops::Operator(other);
    } else if (name.starts_with("reduce_")) {
      return reduce_form(node, std::move(form), perm);
    }
    auto op = form.op.permuted(perm);
    if (!op) return std::nullopt;
    form.op = *op;
    // Indices of a pool count in the layout of its operand.
    for (size_t i = 1; i < node->outputs.size(); ++i)
      if (!node->outputs[i]->uses.empty() || g_.is_output(node->outputs[i])) return std::nullopt;
    return form;
  }

  // Where batch and channels stay as they are, only the spatial axes are named: that is what kernels resize.
  bool spatial_only(ir::Node* node, ops::Resize& op, Form& form) {
    const Shape& x = node->in(0)->shape();
    if (op.coordinate_transformation_mode == "tf_crop_and_resize" || op.keep_aspect_ratio_policy != "stretch") return false;
    std::vector<int64_t> spatial;
    for (size_t i = 2; i < x.size(); ++i) spatial.push_back(static_cast<int64_t>(i));
    ir::Value* made = nullptr;
    size_t place = 2;
    if (node->has(2) && node->in(2)->constant && node->in(2)->constant->size() == static_cast<int64_t>(x.size())) {
      const std::vector<double> scales = doubles_of(*node->in(2)->constant);
      if (scales[0] != 1 || scales[1] != 1) return false;
      made = g_.add_constant(from_doubles(DType::kF32, {static_cast<int64_t>(spatial.size())}, {scales.begin() + 2, scales.end()}), "scales");
    } else if (node->has(3)) {
      place = 3;
      ir::Value* sizes = node->in(3);
      const auto given = ints_of(sizes);
      const auto values = given ? std::optional(std::vector<Dim>(given->begin(), given->end())) : sizes->facts.values;
      if (!values || values->size() != x.size() || !((*values)[0] == x[0]) || !((*values)[1] == x[1])) return false;
      made = given ? g_.add_constant(ints({given->begin() + 2, given->end()}), "sizes")
                   : try_add(g_, ops::Operator(ops::Gather{0}), {sizes, g_.add_constant(ints(spatial), "axes")}, node->where, node);
    }
    if (!made) return false;
    form.inputs.assign(place + 1, nullptr);
    form.data.assign(place + 1, false);
    form.inputs[0] = node->in(0);
    form.inputs[place] = made;
    form.data[0] = true;
    op.axes = spatial;
    return true;
  }

  std::optional<Form> slice_form(ir::Node* node, Form form, const std::vector<int64_t>& perm) {
    std::vector<int64_t> axes;
    if (node->has(3)) {
      auto given = ints_of(node->in(3));
      if (!given) return std::nullopt;
      axes = *given;
    } else {
      if (node->in(1)->rank() != 1 || !is_static(node->in(1)->shape())) return std::nullopt;
      for (int64_t i = 0; i < node->in(1)->shape()[0].value(); ++i) axes.push_back(i);
    }
    for (int64_t& a : axes) a = moved(a, perm);
    while (form.inputs.size() < 4) {
      form.inputs.push_back(nullptr);
      form.data.push_back(false);
    }
    form.inputs[3] = g_.add_constant(ints(axes), "axes");
    return form;
  }

  std::optional<Form> pad_form(ir::Node* node, Form form, const std::vector<int64_t>& perm) {
    if (node->has(3)) {
      auto axes = ints_of(node->in(3));
      if (!axes) return std::nullopt;
      for (int64_t& a : *axes) a = moved(a, perm);
      form.inputs[3] = g_.add_constant(ints(*axes), "axes");
      return form;
    }
    auto pads = ints_of(node->in(1));
    const size_t rank = perm.size();
    if (!pads || pads->size() != 2 * rank) return std::nullopt;
    std::vector<int64_t> other;
    for (size_t half : {size_t{0}, rank})
      for (int64_t p : perm) other.push_back((*pads)[half + static_cast<size_t>(p)]);
    form.inputs[1] = g_.add_constant(ints(other), "pads");
    return form;
  }

  std::optional<Form> reduce_form(ir::Node* node, Form form, const std::vector<int64_t>& perm) {
    const Attrs attrs = node->op.attrs();
    std::optional<std::vector<int64_t>> axes;
    if (const auto* given = find_attr<std::vector<int64_t>>(attrs, "axes")) axes = *given;
    if (node->has(1)) axes = ints_of(node->in(1));
    if (!axes || axes->empty()) return std::nullopt;
    std::vector<bool> folded(perm.size(), false);
    for (int64_t& a : *axes) {
      if (a < 0) a += static_cast<int64_t>(perm.size());
      folded[static_cast<size_t>(a)] = true;
      a = moved(a, perm);
    }
    std::sort(axes->begin(), axes->end());
    const int64_t keepdims = attr_or<int64_t>(attrs, "keepdims", 1);
    if (!keepdims) {
      // The dims that are left must come in the same order.
      int64_t last = -1;
      for (int64_t p : perm) {
        if (folded[static_cast<size_t>(p)]) continue;
        if (p < last) return std::nullopt;
        last = p;
      }
      form.plain_result = true;
    }
    auto op = ops::make_op(node->op.name(), {{"axes", *axes}, {"keepdims", keepdims}});
    if (!op) return std::nullopt;
    form.op = *op;
    form.inputs = {node->in(0)};
    form.data = {true};
    return form;
  }

  // v with channels last, for a user at `before`.
  ir::Value* last_of(ir::Value* v, const std::vector<int64_t>& perm, ir::Node* before) {
    if (auto it = twin_.find(v); it != twin_.end()) return it->second;
    ir::Value* out = nullptr;
    if (v->constant) {
      Constant c = *v->constant;
      c.dims.insert(c.dims.begin(), perm.size() - c.dims.size(), 1);
      out = g_.add_constant(transposed(c, perm), v->name);
    } else {
      out = add_transpose(g_, v, perm, before->where, before);
    }
    if (out) twin_[v] = out;
    return out;
  }

  void convert(ir::Node* node, const Form& form, const std::vector<int64_t>& perm) {
    std::vector<ir::Value*> inputs = form.inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!form.data[i]) continue;
      inputs[i] = last_of(node->in(i), perm, node);
      if (!inputs[i]) return;
    }
    ir::Graph::NodeOptions options;
    options.where = node->where;
    options.outputs = node->outputs.size();
    options.before = node;
    auto made = g_.add(form.op, inputs, std::move(options));
    if (!made) return;
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      const ir::Value *y = node->outputs[i], *z = (*made)->outputs[i];
      bool good = y->dtype() == z->dtype() && y->rank() == z->rank();
      for (size_t k = 0; good && k < y->rank(); ++k) good = y->shape()[form.plain_result ? k : static_cast<size_t>(perm[k])] == z->shape()[k];
      if (!good) {
        g_.erase(*made);
        return;
      }
    }
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      ir::Value *y = node->outputs[i], *z = (*made)->outputs[i];
      const std::string name = y->name;
      ir::Value* back = form.plain_result ? z : add_transpose(g_, z, inverse(perm), node->where, node);
      CARNOT_CHECK(back);
      back->facts = y->facts;
      if (!form.plain_result) {
        twin_[back] = z;
        z->source = y->source;
      }
      g_.replace_uses(y, back);
      g_.rename(back, name);
    }
    g_.erase(node);
    changed_ = true;
  }

  ir::Graph& g_;
  std::unordered_map<const ir::Value*, ir::Value*> twin_;  // a value -> the same with channels last
  bool changed_ = false;
};

}  // namespace

Result<bool> ChannelsLast::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    changed |= Pass(g).run();
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(channels_last, ChannelsLast)

}  // namespace carnot::passes
