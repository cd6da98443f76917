// SPDX-License-Identifier: Apache-2.0
#include "compiler/trial.hpp"

#include <algorithm>
#include <cctype>
#include <random>
#include <set>

#include "ops/gather.hpp"

namespace carnot::compiler {
namespace {

bool has_word(std::string name, std::initializer_list<std::string_view> words) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return w.size() == 1 ? name == w : name.find(w) != std::string::npos; });
}

int64_t guess(const std::string& symbol, size_t axis, size_t rank, Trial trial) {
  const bool check = trial == Trial::kCheck;
  if (has_word(symbol, {"batch", "n", "b"})) return check ? 2 : 1;
  if (has_word(symbol, {"height", "width", "h", "w"})) return check ? 64 : 224;
  if (has_word(symbol, {"seq", "len", "time", "token", "frame"})) return check ? 16 : 128;
  if (axis == 0) return check ? 2 : 1;
  if (rank >= 4 && axis >= 2) return check ? 64 : 224;
  return check ? 16 : 128;
}

// One more than the largest integer that makes sense in this input: the rows of the tables that it selects from, else 2.
int64_t integer_bound(const ir::Value* v, int depth = 0) {
  int64_t bound = 0;
  for (const ir::Use& use : v->uses) {
    int64_t here = 0;
    if (const auto* gather = use.node->as<ops::Gather>()) {
      if (use.index != 1) continue;
      const ir::Value* table = use.node->in(0);
      auto axis = normalize_axis(gather->axis, table->rank());
      if (axis && table->shape()[static_cast<size_t>(*axis)].is_constant()) here = table->shape()[static_cast<size_t>(*axis)].value();
    } else if (depth < 4 && use.index == 0 && (use.node->op.info().view || use.node->op.name() == "cast")) {
      here = integer_bound(use.node->out(), depth + 1);
      if (here == 2) continue;
    }
    if (here > 0) bound = bound == 0 ? here : std::min(bound, here);
  }
  return bound == 0 ? 2 : bound;
}

}  // namespace

tactics::Sizes trial_sizes(const ir::Graph& graph, const std::map<std::string, ShapeRange>& shapes, Trial trial) {
  tactics::Sizes sizes;
  for (const ir::Value* v : graph.inputs()) {
    auto range = shapes.find(v->name);
    if (range == shapes.end()) continue;
    for (size_t a = 0; a < std::min(v->rank(), range->second.opt.size()); ++a)
      if (auto symbol = v->shape()[a].as_symbol()) sizes.emplace(*symbol, range->second.opt[a]);
  }
  for (const ir::Value* v : graph.inputs())
    for (size_t a = 0; a < v->rank(); ++a) {
      std::set<std::string> symbols;
      v->shape()[a].collect_symbols(symbols);
      for (const std::string& s : symbols) sizes.emplace(s, guess(s, a, v->rank(), trial));
    }
  return sizes;
}

Result<std::vector<Constant>> trial_inputs(const ir::Graph& graph, const tactics::Sizes& sizes, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Constant> out;
  for (const ir::Value* v : graph.inputs()) {
    const auto dims = tactics::dims_at(v->shape(), sizes);
    if (!dims) return invalid("input '{}' of shape {} has no sizes for a trial; give them with --shape", v->name, to_string(v->shape()));
    if (dtype_size(v->dtype()) == 0 || size_of(*dims) > (int64_t{1} << 32) / static_cast<int64_t>(dtype_size(v->dtype())))
      return invalid("input '{}' ({}{}) is too large for a trial, or no numbers; give smaller sizes with --shape", v->name, dtype_name(v->dtype()), to_string(*dims));
    Constant c = Constant::allocate(v->dtype(), *dims);
    const auto bound = static_cast<uint64_t>(std::max<int64_t>(1, integer_bound(v)));
    dispatch_dtype(v->dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* to = static_cast<T*>(c.mutable_data());
      for (int64_t i = 0; i < c.size(); ++i) {
        if constexpr (std::is_same_v<T, bool>)
          to[i] = random() % 2 != 0;
        else if constexpr (std::is_integral_v<T>)
          to[i] = static_cast<T>(random() % std::min<uint64_t>(bound, static_cast<uint64_t>(std::numeric_limits<T>::max())));
        else
          to[i] = T(static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
      }
    });
    out.push_back(std::move(c));
  }
  return out;
}

}  // namespace carnot::compiler
