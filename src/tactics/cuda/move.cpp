// SPDX-License-Identifier: Apache-2.0
// Operators that are copies between strided views: transpose, slice, split, concat, expand, tile, depth_to_space, space_to_depth.
#include <algorithm>

#include "ops/concat.hpp"
#include "ops/depth_to_space.hpp"
#include "ops/expand.hpp"
#include "ops/slice.hpp"
#include "ops/space_to_depth.hpp"
#include "ops/split.hpp"
#include "ops/tile.hpp"
#include "ops/transpose.hpp"
#include "tactics/cuda/support_copy.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

// The elements of a small integer operand, as far as the compiler knows them.
std::optional<std::vector<Dim>> values_of(const Problem& p, size_t i) {
  if (const Constant* c = p.constant(i)) {
    const auto ints = to_int64s(c->view());
    if (!ints) return std::nullopt;
    return std::vector<Dim>(ints->begin(), ints->end());
  }
  return p.node.has(i) ? p.in(i).values : std::nullopt;
}
std::optional<std::vector<int64_t>> numbers_of(const Problem& p, size_t i) {
  const auto values = values_of(p, i);
  if (!values || !is_static(*values)) return std::nullopt;
  return to_dims(*values);
}

class MoveTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.move"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& p) const override {
    const ir::Node& n = p.node;
    if (!n.as<ops::Transpose>() && !n.as<ops::Concat>() && !n.as<ops::Split>() && !n.as<ops::Slice>() && !n.as<ops::Expand>() && !n.as<ops::Tile>() &&
        !n.as<ops::DepthToSpace>() && !n.as<ops::SpaceToDepth>())
      return "other operator";
    if (p.in(0).dtype == DType::kString) return "strings";
    if (n.inputs.size() + n.outputs.size() > kMostArguments) return "more operands than a launch takes";
    Kernel k(p);
    std::vector<Part> parts;
    if (Refusal r = read(p, k, parts); !r.empty()) return r;
    if (k.fails()) return "a position hangs on a dim that no operand tells";
    // Only a finished text tells how many arguments many operands become.
    if (n.inputs.size() + n.outputs.size() <= 16) return {};
    auto candidate = build(p, {});
    return candidate ? "" : candidate.error().message;
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    Kernel k(p);
    std::vector<Part> parts;
    (void)read(p, k, parts);
    return copy_parts(k, std::move(parts), dtype_size(p.in(0).dtype), p.op().name());
  }

 private:
  static Refusal read(const Problem& p, Kernel& k, std::vector<Part>& parts) {
    const ir::Node& n = p.node;
    const std::string type = bytes_type(p.in(0).dtype);
    if (const auto* concat = n.as<ops::Concat>()) {
      for (size_t i = 0; i < n.inputs.size(); ++i) k.input(fmt::format("x{}", i), i, type);
      k.output("y", type);
      const Shape y = k.out_shape(), strides = strides_of(y);
      const auto axis = static_cast<size_t>(*normalize_axis(concat->axis, y.size()));
      Dim at = 0;
      for (size_t i = 0; i < n.inputs.size(); ++i) {
        const Shape x = k.in_shape(i);
        parts.push_back({fmt::format("x{}", i), "y", x, strides_of(x), strides, 0, at * strides[axis]});
        at = at + x[axis];
      }
      return {};
    }
    k.input("x", 0, type);
    for (size_t i = 0; i < n.outputs.size(); ++i) k.output(fmt::format("y{}", i), type);
    const Shape x = k.in_shape(0), y = k.out_shape(), from = strides_of(x);
    Part part{"x", "y0", y, from, strides_of(y)};
    if (const auto* split = n.as<ops::Split>()) {
      const auto axis = static_cast<size_t>(*normalize_axis(split->axis, x.size()));
      Dim at = 0;
      for (size_t i = 0; i < n.outputs.size(); ++i) {
        const Shape to = k.out_shape(i);
        parts.push_back({"x", fmt::format("y{}", i), to, from, strides_of(to), at * from[axis], 0});
        at = at + to[axis];
      }
      return {};
    }
    if (const auto* transpose = n.as<ops::Transpose>()) {
      const auto perm = transpose->perm_for(x.size());
      if (!perm) return "perm";
      for (size_t i = 0; i < y.size(); ++i) part.from_strides[i] = from[static_cast<size_t>((*perm)[i])];
    } else if (n.as<ops::Expand>()) {
      part.from_strides = broadcast_strides(x, y);
    } else if (n.as<ops::Slice>()) {
      if (Refusal r = slice(p, k, x, part); !r.empty()) return r;
    } else if (n.as<ops::Tile>()) {
      const auto repeats = values_of(p, 1);
      if (!repeats) return "the repeats are computed at run time";
      part.sizes.clear(), part.from_strides.clear();
      for (size_t i = 0; i < x.size(); ++i) {
        part.sizes.insert(part.sizes.end(), {k.dim((*repeats)[i]), x[i]});
        part.from_strides.insert(part.from_strides.end(), {Dim(0), from[i]});
      }
      part.to_strides = strides_of(part.sizes);
    } else if (const auto* deep = n.as<ops::DepthToSpace>()) {
      // y[n, c, h, i, w, j]
      const Dim b = deep->blocksize, channels = Dim::floordiv(x[1], b * b);
      const bool crd = deep->mode == "CRD";
      const Dim c = crd ? b * b * from[1] : from[1], block = crd ? from[1] : channels * from[1];
      part.sizes = {x[0], channels, x[2], b, x[3], b};
      part.from_strides = {from[0], c, from[2], b * block, from[3], block};
      part.to_strides = strides_of(part.sizes);
    } else if (const auto* wide = n.as<ops::SpaceToDepth>()) {
      // y[n, i, j, c, h, w]
      const Dim b = wide->blocksize;
      part.sizes = {x[0], b, b, x[1], Dim::floordiv(x[2], b), Dim::floordiv(x[3], b)};
      part.from_strides = {from[0], from[2], from[3], from[1], b * from[2], b * from[3]};
      part.to_strides = strides_of(part.sizes);
    }
    parts.push_back(std::move(part));
    return {};
  }

  static Refusal slice(const Problem& p, Kernel& k, const Shape& x, Part& part) {
    const auto starts = values_of(p, 1);
    auto axes = p.node.has(3) ? numbers_of(p, 3) : std::optional(std::vector<int64_t>());
    auto steps = p.node.has(4) ? numbers_of(p, 4) : std::optional(std::vector<int64_t>());
    if (!starts || !axes || !steps) return "positions are computed at run time";
    for (size_t i = 0; i < starts->size(); ++i) {
      const auto a = static_cast<size_t>(*normalize_axis(p.node.has(3) ? (*axes)[i] : static_cast<int64_t>(i), x.size()));
      const int64_t step = steps->empty() ? 1 : (*steps)[i];
      const Dim low = step > 0 ? 0 : -1, high = step > 0 ? x[a] : x[a] - 1;
      Dim start = (*starts)[i];
      if (start.is_constant()) {
        if (start.value() < 0) start = start.value() < -(int64_t{1} << 40) ? low : Dim::max(x[a] + start, low);
        start = start.is_constant() && start.value() > (int64_t{1} << 40) ? high : Dim::max(Dim::min(start, high), low);
      } else {
        if (start.lower_bound().value_or(-1) < 0) return "a start that may be negative";
        start = Dim::min(k.dim(start), high);
      }
      // A result that is empty reads nothing, wherever it starts.
      part.from_base = part.from_base + start * part.from_strides[a];
      // No tensor is as long as a step beyond this.
      part.from_strides[a] = part.from_strides[a] * Dim(std::clamp<int64_t>(step, -(int64_t{1} << 31), int64_t{1} << 31));
    }
    return {};
  }
};

}  // namespace

CARNOT_TACTICS(cuda, move, MoveTactic)

}  // namespace carnot::tactics
