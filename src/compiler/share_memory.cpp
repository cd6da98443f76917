// SPDX-License-Identifier: Apache-2.0
#include "compiler/share_memory.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace carnot::compiler {
namespace {

using engine::Buffer;
using engine::BufferKind;
using engine::Command;
using engine::Plan;

int32_t root_of(const Plan& plan, int32_t b) {
  while (plan.buffers[static_cast<size_t>(b)].alias >= 0) b = plan.buffers[static_cast<size_t>(b)].alias;
  return b;
}

// The last command that touches each root; behind the last one for what the caller gets.
std::vector<size_t> last_uses(const Plan& plan) {
  std::vector<size_t> last(plan.buffers.size(), 0);
  for (size_t c = 0; c < plan.commands.size(); ++c)
    for (const auto* list : {&plan.commands[c].inputs, &plan.commands[c].outputs})
      for (int32_t b : *list)
        if (b >= 0) last[static_cast<size_t>(root_of(plan, b))] = c;
  for (int32_t b : plan.outputs) last[static_cast<size_t>(root_of(plan, b))] = plan.commands.size();
  return last;
}

bool same_bytes(const Buffer& a, const Buffer& b) {
  return a.place == b.place && a.pitch == 0 && b.pitch == 0 && a.dtype != DType::kString && b.dtype != DType::kString && dtype_size(a.dtype) == dtype_size(b.dtype) && size_of(a.shape) == size_of(b.shape);
}

// What share_parts() works on: the plan with the uses of every buffer.
class Parts {
 public:
  Parts(Plan& plan, SharingHints& hints) : plan_(plan), hints_(hints), uses_(plan.buffers.size()), views_(plan.buffers.size()), is_output_(plan.buffers.size(), false) {
    for (size_t c = 0; c < plan.commands.size(); ++c)
      for (const bool result : {false, true}) {
        const auto& list = result ? plan.commands[c].outputs : plan.commands[c].inputs;
        for (size_t i = 0; i < list.size(); ++i)
          if (list[i] >= 0) uses_[static_cast<size_t>(list[i])].push_back({c, i, result});
      }
    for (size_t b = 0; b < plan.buffers.size(); ++b)
      if (plan.buffers[b].alias >= 0) views_[static_cast<size_t>(plan.buffers[b].alias)].push_back(static_cast<int32_t>(b));
    for (int32_t b : plan.outputs) is_output_[static_cast<size_t>(b)] = true;
  }

  std::vector<int32_t> run() {
    for (size_t c = 0; c < plan_.commands.size(); ++c)
      if (plan_.commands[c].kernel == "cpu.split")
        split(c);
      else if (plan_.commands[c].kernel == "cpu.slice")
        slice(c);
    // The last first: where concatenations grow from one another, the earlier ones come to lie in the last.
    for (size_t c = plan_.commands.size(); c-- > 0;)
      if (plan_.commands[c].kernel == "cpu.concat") concat(c);
    drop_commands_without_work();
    return put_roots_first();
  }

 private:
  struct UseOf {
    size_t command, operand;
    bool result;
  };
  // The joined tensor as rows: `offsets[i]` is where part i begins in each row, in elements of the row.
  struct Layout {
    bool rows = false;  // the last axis is joined and there may be many rows; else all parts are runs of bytes one behind the other
    bool sure = true;   // whatever the input shapes are, the parts fit the whole along the other axes
    std::vector<int64_t> offsets, lengths;
  };

  Buffer& at(int32_t b) { return plan_.buffers[static_cast<size_t>(b)]; }

  // A buffer of working memory that may lie inside another: nobody outside sees it.
  bool movable(int32_t b) { return at(b).kind == BufferKind::kTemp && at(b).alias < 0 && !is_output_[static_cast<size_t>(b)] && hints_.sized(at(b).shape); }

  bool takes_pitch(int32_t b) {
    const auto& list = uses_[static_cast<size_t>(b)];
    return !is_output_[static_cast<size_t>(b)] && std::all_of(list.begin(), list.end(), [&](const UseOf& u) { return hints_.takes_pitch(u.command, u.result, u.operand); });
  }
  // Whether b, and all that lies in it, could have rows `pitch` elements apart. Views must have the same rows.
  bool can_spread(int32_t b) {
    if (!takes_pitch(b)) return false;
    const auto& views = views_[static_cast<size_t>(b)];
    return std::all_of(views.begin(), views.end(), [&](int32_t v) {
      const bool same_rows = at(v).pitch != 0 || (at(v).alias_offset == 0 && at(v).dtype == at(b).dtype && !at(v).shape.empty() && at(v).shape.back() == at(b).shape.back());
      return same_rows && can_spread(v);
    });
  }
  void spread(int32_t b, int64_t pitch) {
    at(b).pitch = pitch;
    for (int32_t v : views_[static_cast<size_t>(b)]) spread(v, pitch);
  }
  void place(int32_t b, int32_t inside, uint64_t offset, int64_t pitch) {
    at(b).alias = inside;
    at(b).alias_offset = offset;
    views_[static_cast<size_t>(inside)].push_back(b);
    if (pitch != 0) spread(b, pitch);
  }

  // None where positions are not known now, or rows are so short that moving them costs little beside what reading them apart costs.
  std::optional<Layout> layout_of(const Command& command, const Buffer& whole, const std::vector<int32_t>& parts) {
    if (whole.kind != BufferKind::kTemp || !hints_.sized(whole.shape) || whole.dtype == DType::kString) return std::nullopt;
    const auto axis_or = normalize_axis(attr_or<int64_t>(command.params, "axis", 0), whole.shape.size());
    if (!axis_or) return std::nullopt;
    const auto axis = static_cast<size_t>(*axis_or);
    Layout layout;
    const bool one_row = std::all_of(whole.shape.begin(), whole.shape.begin() + static_cast<std::ptrdiff_t>(axis), [](const Dim& d) { return d.is(1); });
    layout.rows = !one_row;
    if (layout.rows && (axis + 1 != whole.shape.size() || !whole.shape.back().is_constant() || row_of(whole) > engine::kMaxPitch)) return std::nullopt;
    int64_t inner = 1, end = 0;
    for (size_t i = axis + 1; i < whole.shape.size(); ++i) {
      if (!whole.shape[i].is_constant() || __builtin_mul_overflow(inner, whole.shape[i].value(), &inner)) return std::nullopt;
    }
    for (int32_t p : parts) {
      if (p < 0 || at(p).dtype != whole.dtype || at(p).shape.size() != whole.shape.size() || !at(p).shape[axis].is_constant()) return std::nullopt;
      const int64_t length = at(p).shape[axis].value();
      if (layout.rows && length < kShortestRow) return std::nullopt;
      for (size_t i = 0; i < whole.shape.size(); ++i) layout.sure &= i == axis || at(p).shape[i] == whole.shape[i];
      layout.offsets.push_back(end);
      layout.lengths.push_back(length * inner);
      if (__builtin_mul_overflow(length, inner, &layout.lengths.back()) || __builtin_add_overflow(end, layout.lengths.back(), &end)) return std::nullopt;
    }
    return layout;
  }

  static int64_t row_of(const Buffer& b) { return b.pitch != 0 ? b.pitch : b.shape.back().value(); }

  void split(size_t c) {
    const Command& command = plan_.commands[c];
    const int32_t x = command.inputs[0];
    if (x < 0 || at(root_of(plan_, x)).kind != BufferKind::kTemp) return;
    const auto layout = layout_of(command, at(x), command.outputs);
    if (!layout || (at(x).pitch != 0 && !layout->rows)) return;
    for (size_t i = 0; i < command.outputs.size(); ++i) {
      const int32_t y = command.outputs[i];
      if (!movable(y) || (layout->rows && !can_spread(y))) continue;
      place(y, x, static_cast<uint64_t>(layout->offsets[i]) * dtype_size(at(x).dtype), layout->rows ? row_of(at(x)) : 0);
    }
  }

  // Where a slice begins, in elements of x, and whether it takes columns of many rows.
  struct Cut {
    int64_t start = 0;
    bool rows = false;
    bool sure = true;
  };
  // None if the slice leaves out something along more than one axis, or is no run of bytes or columns, or does not have constant bounds.
  std::optional<Cut> cut_of(const Command& command) {
    const int32_t x = command.inputs[0], y = command.outputs[0];
    if (x < 0 || at(root_of(plan_, x)).kind != BufferKind::kTemp || !hints_.sized(at(x).shape) || at(x).dtype == DType::kString || at(x).dtype != at(y).dtype) return std::nullopt;
    const Shape &from = at(x).shape, &to = at(y).shape;
    auto list = [&](size_t i) { return i < command.inputs.size() && command.inputs[i] >= 0 ? hints_.constant(command.inputs[i]) : std::nullopt; };
    auto given = [&](size_t i) { return i < command.inputs.size() && command.inputs[i] >= 0; };
    const auto starts = list(1), axes = list(3), steps = list(4);
    if (!starts || from.size() != to.size() || (given(3) && !axes) || (given(4) && !steps)) return std::nullopt;
    Cut cut;
    std::optional<size_t> cut_axis;
    for (size_t i = 0; i < starts->size(); ++i) {
      if ((axes && i >= axes->size()) || (steps && (i >= steps->size() || (*steps)[i] != 1))) return std::nullopt;
      const auto axis_or = normalize_axis(axes ? (*axes)[i] : static_cast<int64_t>(i), from.size());
      if (!axis_or) return std::nullopt;
      const auto axis = static_cast<size_t>(*axis_or);
      if (from[axis] == to[axis]) continue;
      if (cut_axis || !from[axis].is_constant() || !to[axis].is_constant()) return std::nullopt;
      cut_axis = axis;
      const int64_t n = from[axis].value();
      cut.start = std::clamp<int64_t>((*starts)[i] < 0 ? (*starts)[i] + n : (*starts)[i], 0, n);
      if (to[axis].value() > n - cut.start) return std::nullopt;
      // A small part of something large would keep all of it alive.
      if (to[axis].value() > (int64_t{1} << 40) || to[axis].value() * 4 < n) return std::nullopt;
    }
    if (!cut_axis) return std::nullopt;
    for (size_t i = 0; i < from.size(); ++i) cut.sure &= i == *cut_axis || from[i] == to[i];
    cut.rows = !std::all_of(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(*cut_axis), [](const Dim& d) { return d.is(1); });
    if (cut.rows && (*cut_axis + 1 != from.size() || to.back().value() < kShortestRow || row_of(at(x)) > engine::kMaxPitch)) return std::nullopt;
    for (size_t i = *cut_axis + 1; i < from.size(); ++i)
      if (!from[i].is_constant() || __builtin_mul_overflow(cut.start, from[i].value(), &cut.start)) return std::nullopt;
    if (cut.start > (int64_t{1} << 45)) return std::nullopt;
    return cut;
  }

  void slice(size_t c) {
    const Command& command = plan_.commands[c];
    const auto cut = cut_of(command);
    if (!cut || !cut->sure) return;
    const int32_t x = command.inputs[0], y = command.outputs[0];
    if (!movable(y) || (at(x).pitch != 0 && !cut->rows) || (cut->rows && !can_spread(y))) return;
    place(y, x, static_cast<uint64_t>(cut->start) * dtype_size(at(x).dtype), cut->rows ? row_of(at(x)) : 0);
    viewed_.insert(c);
  }

  void concat(size_t c) {
    const Command& command = plan_.commands[c];
    const int32_t y = command.outputs[0];
    const auto layout = layout_of(command, at(y), command.inputs);
    if (!layout) return;
    if (lies_in_place(y, command.inputs, *layout)) return;
    if (at(y).pitch != 0 && !layout->rows) return;
    for (size_t i = 0; i < command.inputs.size(); ++i) place_part(y, command.inputs, *layout, i);
  }

  // The parts are one behind the other in another buffer already: then so is the result.
  bool lies_in_place(int32_t y, const std::vector<int32_t>& parts, const Layout& layout) {
    if (at(y).alias >= 0 || is_output_[static_cast<size_t>(y)] || at(parts[0]).alias < 0) return false;
    const Buffer& first = at(parts[0]);
    for (size_t i = 0; i < parts.size(); ++i) {
      const Buffer& part = at(parts[i]);
      if (part.alias != first.alias || part.pitch != first.pitch || part.alias_offset != first.alias_offset + static_cast<uint64_t>(layout.offsets[i]) * dtype_size(part.dtype)) return false;
    }
    if ((first.pitch != 0) != layout.rows || (layout.rows && !can_spread(y))) return false;
    place(y, first.alias, first.alias_offset, first.pitch);
    return true;
  }

  // Puts part i into its place in y; where it is a part of another buffer, that one, if it is one of several neighbours.
  void place_part(int32_t y, const std::vector<int32_t>& parts, const Layout& layout, size_t i) {
    int32_t moving = parts[i];
    int64_t start = layout.offsets[i], length = layout.lengths[i];
    const auto bytes = static_cast<int64_t>(dtype_size(at(y).dtype));
    if (at(moving).alias >= 0) {
      const Buffer& part = at(moving);
      moving = part.alias;
      const Buffer& whole = at(moving);
      const auto offset = static_cast<int64_t>(part.alias_offset) / bytes;
      if (moving == y || whole.dtype != at(y).dtype) return;
      start -= offset;
      if (layout.rows) {
        if (whole.shape.empty() || !whole.shape.back().is_constant()) return;
        length = whole.shape.back().value();
        if (offset + layout.lengths[i] > length) return;
      } else {
        const Dim size = size_of(whole.shape);
        if (part.pitch != 0 || !size.is_constant()) return;
        length = size.value();
      }
      if (start < 0 || start + length > layout.offsets.back() + layout.lengths.back()) return;
      // What lies under the moved buffer must be parts of it, in the same order.
      for (size_t k = 0; k < parts.size(); ++k) {
        if (layout.offsets[k] + layout.lengths[k] <= start || layout.offsets[k] >= start + length) continue;
        if (at(parts[k]).alias != moving || static_cast<int64_t>(at(parts[k]).alias_offset) / bytes != layout.offsets[k] - start) return;
      }
    } else if (std::count(parts.begin(), parts.end(), moving) > 1) {
      return;
    }
    if (!movable(moving) || root_of(plan_, y) == moving || (layout.rows && !can_spread(moving))) return;
    place(moving, y, static_cast<uint64_t>(start * bytes), layout.rows ? row_of(at(y)) : 0);
  }

  // Concatenations and splits all of whose parts lie where they belong. Where only the shapes of a run tell whether the parts fit, the
  // command stays: it refuses those that do not.
  void drop_commands_without_work() {
    size_t kept = 0;
    for (size_t c = 0; c < plan_.commands.size(); ++c) {
      Command& command = plan_.commands[c];
      bool needed = true;
      const bool joins = command.kernel == "cpu.concat";
      if (joins || command.kernel == "cpu.split") {
        const int32_t whole = joins ? command.outputs[0] : command.inputs[0];
        const std::vector<int32_t>& parts = joins ? command.inputs : command.outputs;
        if (const auto layout = layout_of(command, at(whole), parts)) {
          const auto [root, offset] = position(whole);
          needed = !layout->sure;
          for (size_t i = 0; i < parts.size(); ++i) {
            const auto [r, o] = position(parts[i]);
            const uint64_t wanted = offset + static_cast<uint64_t>(layout->offsets[i]) * dtype_size(at(whole).dtype);
            needed |= r != root || o != wanted || (layout->rows && at(parts[i]).pitch != row_of(at(whole)));
          }
        }
      }
      if (!needed || viewed_.count(c)) continue;
      if (kept != c) plan_.commands[kept] = std::move(command);
      hints_.in_place[kept++] = hints_.in_place[c];
    }
    plan_.commands.resize(kept);
    hints_.in_place.resize(kept);
  }
  std::pair<int32_t, uint64_t> position(int32_t b) {
    uint64_t offset = 0;
    for (; at(b).alias >= 0; b = at(b).alias) offset += at(b).alias_offset;
    return {b, offset};
  }

  std::vector<int32_t> put_roots_first() {
    std::vector<int32_t> place_of(plan_.buffers.size(), -1), order, chain;
    for (size_t b = 0; b < plan_.buffers.size(); ++b) {
      chain.clear();
      for (auto x = static_cast<int32_t>(b); x >= 0 && place_of[static_cast<size_t>(x)] < 0; x = at(x).alias) chain.push_back(x);
      for (; !chain.empty(); chain.pop_back()) {
        place_of[static_cast<size_t>(chain.back())] = static_cast<int32_t>(order.size());
        order.push_back(chain.back());
      }
    }
    auto rename = [&](int32_t& b) {
      if (b >= 0) b = place_of[static_cast<size_t>(b)];
    };
    std::vector<Buffer> sorted;
    for (int32_t b : order) {
      sorted.push_back(std::move(at(b)));
      rename(sorted.back().alias);
    }
    plan_.buffers = std::move(sorted);
    for (auto* list : {&plan_.inputs, &plan_.outputs}) std::for_each(list->begin(), list->end(), rename);
    for (Command& c : plan_.commands)
      for (auto* list : {&c.inputs, &c.outputs}) std::for_each(list->begin(), list->end(), rename);
    return place_of;
  }

  static constexpr int64_t kShortestRow = 8;

  Plan& plan_;
  SharingHints& hints_;
  std::vector<std::vector<UseOf>> uses_;       // by buffer
  std::vector<std::vector<int32_t>> views_;    // by buffer: what lies directly inside it
  std::vector<bool> is_output_;
  std::set<size_t> viewed_;  // slices whose results lie in their operand
};

}  // namespace

std::vector<int32_t> share_parts(Plan& plan, SharingHints& hints) { return Parts(plan, hints).run(); }

void share_in_place(Plan& plan, const SharingHints& hints) {
  std::vector<size_t> last = last_uses(plan);
  for (size_t c = 0; c < plan.commands.size(); ++c) {
    const Command& command = plan.commands[c];
    if (hints.in_place[c] == 0 || command.outputs.empty()) continue;
    const int32_t y = command.outputs[0];
    Buffer& result = plan.buffers[static_cast<size_t>(y)];
    if (result.kind != BufferKind::kTemp || result.alias >= 0 || !hints.sized(result.shape)) continue;
    for (size_t i = 0; i < command.inputs.size() && i < 32; ++i) {
      const int32_t x = command.inputs[i];
      // A buffer lies inside an earlier one.
      if (!(hints.in_place[c] >> i & 1) || x < 0 || x >= y || !hints.sized(plan.buffers[static_cast<size_t>(x)].shape)) continue;
      const auto root = static_cast<size_t>(root_of(plan, x));
      if (plan.buffers[root].kind != BufferKind::kTemp || last[root] != c || !same_bytes(plan.buffers[static_cast<size_t>(x)], result)) continue;
      // Read or written a second time by this command, under another shape perhaps: then the order of elements matters.
      auto in_root = [&](int32_t b) { return b >= 0 && static_cast<size_t>(root_of(plan, b)) == root; };
      if (std::count_if(command.inputs.begin(), command.inputs.end(), in_root) > 1 || std::any_of(command.outputs.begin(), command.outputs.end(), in_root)) continue;
      result.alias = x;
      result.alias_offset = 0;
      last[root] = last[static_cast<size_t>(y)];
      break;
    }
  }
}

}  // namespace carnot::compiler
