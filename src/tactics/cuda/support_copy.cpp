// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_copy.hpp"

#include <algorithm>

namespace carnot::tactics::cuda {
namespace {

constexpr int64_t kTile = 32;

struct Laid {
  Part part;
  int64_t lanes = 1;
  std::string ready;     // what else must hold at run time for wide accesses
  int tile_axis = -1;    // the axis that `from` runs along, where a tile in shared memory turns it
  Dim blocks;
};

bool divides(const Dim& d, int64_t lanes) { return d.is_constant() && d.value() % lanes == 0; }

Laid lay_out(Kernel& k, Part part, size_t bytes) {
  Space space{part.sizes, {part.to_strides, part.from_strides}};
  space.collapse();
  if (space.sizes.empty()) space = {{1}, {{1}, {1}}};
  part.sizes = space.sizes;
  part.to_strides = space.strides[0];
  part.from_strides = space.strides[1];
  Laid l{std::move(part)};
  const Part& p = l.part;
  const Dim total = size_of(p.sizes);
  const size_t last = p.sizes.size() - 1;
  if (p.to_strides[last].is(1) && p.from_strides[last].is(1)) {
    int64_t lanes = 16 / static_cast<int64_t>(bytes);
    // All that is known must be whole packs; the rest is asked at run time.
    std::vector<Dim> steps{p.sizes[last], p.from_base, p.to_base};
    for (size_t a = 0; a < last; ++a) steps.insert(steps.end(), {p.to_strides[a], p.from_strides[a]});
    for (const Dim& d : steps)
      while (lanes > 1 && d.is_constant() && d.value() % lanes != 0) lanes /= 2;
    while (lanes > 1 && total.is_constant() && total.value() < lanes * 132 * 256 && lanes * static_cast<int64_t>(bytes) > 4) lanes /= 2;
    if (lanes > 1)
      for (const Dim& d : steps)
        if (!divides(d, lanes)) l.ready += fmt::format(" && {} % {} == 0", k.value(d), lanes);
    l.lanes = lanes;
  } else if (p.to_strides[last].is(1)) {
    for (size_t a = 0; a < last; ++a)
      if (p.from_strides[a].is(1)) {
        auto wide = [](const Dim& d) { return !d.is_constant() || d.value() >= 8; };
        if (wide(p.sizes[a]) && wide(p.sizes[last])) l.tile_axis = static_cast<int>(a);
      }
  }
  if (l.tile_axis >= 0) {
    const auto a = static_cast<size_t>(l.tile_axis);
    l.blocks = Dim::ceildiv(p.sizes[a], kTile) * Dim::ceildiv(p.sizes[last], kTile);
    for (size_t i = 0; i < last; ++i)
      if (i != a) l.blocks = l.blocks * p.sizes[i];
  } else {
    l.blocks = Dim::ceildiv(total, 256 * l.lanes);
  }
  return l;
}

std::string plus(Kernel& k, const Dim& base) { return base.is(0) ? "" : " + " + k.value(base); }

std::string plain_text(Kernel& k, const Laid& l) {
  const Part& p = l.part;
  const std::string n = k.value(size_of(p.sizes));
  std::string text = "  const I first = block * 256 + (I)threadIdx.x, step = blocks * 256;\n";
  auto loop = [&](int64_t lanes) {
    const std::string to = fmt::format("{}{}", dot(k, "c", p.to_strides), plus(k, p.to_base)), from = fmt::format("{}{}", dot(k, "c", p.from_strides), plus(k, p.from_base));
    std::string body = lanes == 1 ? fmt::format("  for (I e = first; e < {}; e += step) {{\n", n)
                                  : fmt::format("  for (I q = first; q < {} / {}; q += step) {{\n  const I e = q * {};\n", n, lanes, lanes);
    body += unravel(k, "e", p.sizes, "c");
    return body + (lanes == 1 ? fmt::format("  {}[{}] = {}[{}];\n  }}\n", p.to, to, p.from, from)
                              : fmt::format("  store<{}>({} + {}, load<{}>({} + {}));\n  }}\n", lanes, p.to, to, lanes, p.from, from));
  };
  if (l.lanes == 1) return text + loop(1);
  return text + fmt::format("  if (aligned<{}>({}) && aligned<{}>({}){}) {{\n{}  }} else {{\n{}  }}\n", l.lanes, p.from, l.lanes, p.to, l.ready, loop(l.lanes), loop(1));
}

// 32 x 32 elements pass through shared memory, so that both sides are read and written in runs.
std::string tile_text(Kernel& k, const Laid& l, std::string_view type) {
  const Part& p = l.part;
  const size_t last = p.sizes.size() - 1, a = static_cast<size_t>(l.tile_axis);
  Shape outer, outer_to, outer_from;
  for (size_t i = 0; i < last; ++i) {
    if (i == a) continue;
    outer.push_back(p.sizes[i]);
    outer_to.push_back(p.to_strides[i]);
    outer_from.push_back(p.from_strides[i]);
  }
  outer.push_back(Dim::ceildiv(p.sizes[a], kTile));
  outer.push_back(Dim::ceildiv(p.sizes[last], kTile));
  outer_to.insert(outer_to.end(), {Dim(0), Dim(0)});
  outer_from.insert(outer_from.end(), {Dim(0), Dim(0)});
  const std::string rows = k.value(p.sizes[a]), cols = k.value(p.sizes[last]);
  std::string text = fmt::format("  __shared__ {} tile[32][33];\n", type) + unravel(k, "block", outer, "o");
  text += fmt::format("  const I a0 = o{} * 32, b0 = o{} * 32, u = (I)threadIdx.x % 32, v = (I)threadIdx.x / 32;\n", outer.size() - 2, outer.size() - 1);
  text += fmt::format("  const I from = {}{}, to = {}{};\n", dot(k, "o", outer_from), plus(k, p.from_base), dot(k, "o", outer_to), plus(k, p.to_base));
  text += fmt::format("  #pragma unroll\n  for (int i = 0; i < 32; i += 8)\n    if (a0 + u < {} && b0 + v + i < {}) tile[v + i][u] = {}[from + a0 + u + (b0 + v + i) * {}];\n  __syncthreads();\n",
                      rows, cols, p.from, k.value(p.from_strides[last]));
  text += fmt::format("  #pragma unroll\n  for (int i = 0; i < 32; i += 8)\n    if (b0 + u < {} && a0 + v + i < {}) {}[to + b0 + u + (a0 + v + i) * {}] = tile[u][v + i];\n", cols,
                      rows, p.to, k.value(p.to_strides[a]));
  return text;
}

}  // namespace

Result<Candidate> copy_parts(Kernel& kernel, std::vector<Part> parts, size_t element_bytes, std::string_view family) {
  const char* types[] = {"unsigned char", "unsigned short", "unsigned", "unsigned long long"};
  const std::string_view type = types[element_bytes == 1 ? 0 : element_bytes == 2 ? 1 : element_bytes == 4 ? 2 : 3];
  std::vector<Dim> blocks;
  // Blocks of different parts stand side by side, so that what lies side by side in memory is written at about the same time.
  kernel.body = fmt::format("  const I block = quotient<I>((I)blockIdx.x, {}), blocks = (I)gridDim.x / {}, part = (I)blockIdx.x - block * {};\n", parts.size(), parts.size(), parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const Laid l = lay_out(kernel, std::move(parts[i]), element_bytes);
    kernel.largest(size_of(l.part.sizes));
    const std::string text = l.tile_axis >= 0 ? tile_text(kernel, l, type) : plain_text(kernel, l);
    // Parts of other sizes than the largest have blocks too many.
    std::string guard = parts.size() > 1 ? fmt::format("part == {}", i) : "true";
    if (parts.size() > 1 && l.tile_axis >= 0) guard += fmt::format(" && block < {}", kernel.value(l.blocks));
    kernel.body += parts.size() > 1 ? fmt::format("  if ({}) {{\n{}  }}\n", guard, text) : text;
    blocks.push_back(l.blocks);
  }
  if (kernel.fails()) return fail(Code::kInternal, "a dim that no operand tells");
  return kernel.finish(family, {.x = greatest(std::move(blocks)) * Dim(static_cast<int64_t>(parts.size()))});
}

}  // namespace carnot::tactics::cuda
