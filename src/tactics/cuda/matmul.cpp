// SPDX-License-Identifier: Apache-2.0
// matmul and gemm with any epilogue: few rows by dot products along the weights' rows, all else by tiles.
#include <algorithm>

#include "ops/gemm.hpp"
#include "ops/matmul.hpp"
#include "tactics/cuda/support_anchor.hpp"
#include "tactics/cuda/support_text.hpp"
#include "tactics/cuda/support_tile.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

// y[batch, m, n] = alpha * a[batch, m, k] b[batch, k, n] (+ beta * c), in the launch's symbols.
struct Product {
  Anchor anchor;
  Anchor::Input a, b;
  bool trans_a = false, trans_b = false;
  double alpha = 1, beta = 1;
  Refusal refusal;
};

Product read(const Problem& p) {
  Product r;
  r.anchor = read_anchor(p, "matmul");
  if (!r.anchor.node) return {.refusal = r.anchor.refusal};
  const auto* gemm = r.anchor.node->as<ops::Gemm>();
  if (!gemm && !r.anchor.node->as<ops::MatMul>()) return {.refusal = "other operator"};
  r.refusal = r.anchor.refusal;
  if (gemm) r.trans_a = gemm->trans_a, r.trans_b = gemm->trans_b, r.alpha = gemm->alpha, r.beta = gemm->beta;
  r.a = r.anchor.input(p, 0), r.b = r.anchor.input(p, 1);
  const DType t = r.a.value->dtype();
  if (storage_type(t).empty() || t == DType::kBool || r.b.value->dtype() != t) r.refusal = "dtype";
  if (r.a.outer < 0 || (r.b.outer < 0 && !r.b.constant)) r.refusal = "an operand lies inside the group";
  return r;
}

struct Sizes {
  Dim m, n, k, batch = 1;
  Space batches;  // operands: a, b
  Dim am, ak, bk, bn;
};

Sizes measure(Kernel& k, const Product& r, const Shape& out) {
  Sizes s;
  Shape a = k.shape(r.a.value->shape()), b = k.shape(r.b.value->shape());
  const bool a_vector = a.size() == 1, b_vector = b.size() == 1;
  if (a_vector) a.insert(a.begin(), 1);
  if (b_vector) b.push_back(1);
  const size_t ra = a.size(), rb = b.size();
  s.m = a[ra - (r.trans_a ? 1 : 2)], s.k = a[ra - (r.trans_a ? 2 : 1)], s.n = b[rb - (r.trans_b ? 2 : 1)];
  s.am = r.trans_a ? Dim(1) : a[ra - 1], s.ak = r.trans_a ? a[ra - 1] : Dim(1);
  s.bk = r.trans_b ? Dim(1) : b[rb - 1], s.bn = r.trans_b ? b[rb - 1] : Dim(1);
  const size_t batch_rank = out.size() - (a_vector ? 0 : 1) - (b_vector ? 0 : 1);
  s.batches.sizes = Shape(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(batch_rank));
  const Shape ab(a.begin(), a.end() - 2), bb(b.begin(), b.end() - 2);
  auto scaled = [&](const Shape& own, const Dim& by) {
    Shape st = broadcast_strides(own, s.batches.sizes);
    for (Dim& d : st) d = d * by;
    return st;
  };
  s.batches.strides = {scaled(ab, a[ra - 2] * a[ra - 1]), scaled(bb, b[rb - 2] * b[rb - 1])};
  // Rows of all batches are the rows of one product where b is the same for all.
  const bool shared = std::all_of(s.batches.strides[1].begin(), s.batches.strides[1].end(), [](const Dim& d) { return d.is(0); });
  if (shared && !r.trans_a && !a_vector && ab == s.batches.sizes) {
    s.m = s.m * size_of(s.batches.sizes);
    s.batches = {{}, {{}, {}}};
  }
  s.batches.collapse();
  s.batch = size_of(s.batches.sizes);
  return s;
}

Constant transposed(const Constant& w, int64_t rows, int64_t cols) {
  Constant to = Constant::allocate(w.dtype, {cols, rows});
  const size_t bytes = dtype_size(w.dtype);
  const auto* from = static_cast<const char*>(w.data);
  auto* out = static_cast<char*>(to.mutable_data());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) std::memcpy(out + static_cast<size_t>(c * rows + r) * bytes, from + static_cast<size_t>(r * cols + c) * bytes, bytes);
  return to;
}

Result<std::string> finish_text(Kernel& k, const Problem& p, const Product& r) {
  const Shape out = k.shape(r.anchor.node->out()->shape());
  Epilogue epilogue(k, p, r.anchor, out, out.empty() ? 0 : out.size() - 1);
  const std::string type = compute_type(r.a.value->dtype());
  std::string sum = r.alpha == 1 ? "acc" : fmt::format("acc * {}", literal(r.alpha, type));
  if (r.anchor.node->as<ops::Gemm>() && r.anchor.node->has(2)) {
    const std::string c = epilogue.anchor_element("bias", 2);
    sum += r.beta == 1 ? " + " + c : fmt::format(" + {} * {}", literal(r.beta, type), c);
  }
  return epilogue.text(sum);
}

// Weights [k, n] become [n, k], so that both operands run along k; others are read as they lie.
void declare(Kernel& k, Product& r, Sizes* s, const Shape& out) {
  k.input("a", static_cast<size_t>(r.a.outer));
  const bool pack = r.b.constant && r.b.constant->dims.size() == 2 && !r.trans_b && r.b.constant->size() > 0;
  if (pack) k.packed("b", transposed(*r.b.constant, r.b.constant->dims[0], r.b.constant->dims[1]));
  else if (r.b.outer >= 0) k.input("b", static_cast<size_t>(r.b.outer));
  else k.packed("b", *r.b.constant);
  k.output("y");
  *s = measure(k, r, k.shape(out));
  if (pack) s->bk = 1, s->bn = s->k;
}

std::string pack_text(Kernel& k, const char* pointer, const char* base, const std::string& line, const Dim& line_step, const Dim& k_step, const Dim& depth, int pack, const char* wide) {
  const std::string from = fmt::format("{} + {} + {} * {}", pointer, base, line, k.value(line_step)), n = k.value(depth);
  std::string slow = fmt::format("          for (int j = 0; j < {}; ++j)\n            if (k0 + j < {}) pack.v[j] = from[(k0 + j) * {}];\n", pack, n, k.value(k_step));
  std::string text = fmt::format("        const auto* from = {};\n", from);
  if (!k_step.is(1)) return text + slow;
  return text + fmt::format("        if ({} && k0 + {} <= {}) pack = load<{}>(from + k0);\n        else {{\n{}        }}\n", wide, pack, n, pack, slow);
}

// Wide loads need the distance of rows, and of products, to be whole packs, and the operand to be aligned.
std::string ready_text(Kernel& k, const char* pointer, const Dim& line_step, const Shape& batch_steps, int pack) {
  std::string text = fmt::format("aligned<{}>({})", pack, pointer);
  auto need = [&](const Dim& d) {
    if (d.is_constant() && d.value() % pack == 0) return;
    text += fmt::format(" && {} % {} == 0", k.value(d), pack);
  };
  need(line_step);
  for (const Dim& d : batch_steps) need(d);
  return text;
}

class TileTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.matmul_tile"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 50; }
  Refusal refuses(const Problem& p) const override { return read(p).refusal; }

  std::vector<Config> configs(const Problem&, Effort effort) const override { return Tile::configs(effort); }

  Result<Candidate> build(const Problem& p, const Config& config) const override {
    Product r = read(p);
    Kernel k(p);
    Sizes s;
    declare(k, r, &s, r.anchor.node->out()->shape());
    CARNOT_ASSIGN(k.body, finish_text(k, p, r));
    Tile t;
    t.dtype = r.a.value->dtype();
    t.m = s.m, t.n = s.n, t.k = s.k, t.batch = s.batch;
    t.choose(config);
    t.setup = unravel(k, "batch", s.batches.sizes, "z") + fmt::format("  const I a_base = {}, b_base = {};\n", dot(k, "z", s.batches.strides[0]), dot(k, "z", s.batches.strides[1]));
    t.setup += fmt::format("  const bool a_wide = {}, b_wide = {};\n", ready_text(k, "a", s.am, s.batches.strides[0], t.pack()), ready_text(k, "b", s.bn, s.batches.strides[1], t.pack()));
    t.a_fast_rows = !s.ak.is(1), t.b_fast_rows = !s.bk.is(1);
    t.a_pack = pack_text(k, "a", "a_base", "row", s.am, s.ak, s.k, t.pack(), "a_wide");
    t.b_pack = pack_text(k, "b", "b_base", "col", s.bn, s.bk, s.k, t.pack(), "b_wide");
    t.offset = fmt::format("(batch * {} + row) * {} + col", k.value(s.m), k.value(s.n));
    t.channel = "col";
    k.body += tile_text(k, t);
    return k.finish("matmul", t.grid());
  }
};

// Up to eight rows: what counts is how fast the weights come in. A warp makes one column, all rows of it.
class FewRowsTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.matmul_few_rows"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 110; }
  Refusal refuses(const Problem& p) const override {
    Product r = read(p);
    if (!r.refusal.empty()) return r.refusal;
    if (!r.b.constant || r.b.constant->dims.size() != 2 || r.b.constant->size() == 0) return "the weights are no constant matrix";
    if (r.trans_a) return "input 0 is transposed";
    Kernel k(p);
    Sizes s;
    declare(k, r, &s, r.anchor.node->out()->shape());
    if (!s.m.is_constant() || s.m.value() < 1 || s.m.value() > 8) return "not 1 to 8 rows";
    // Tensor cores take over where the weights are few and the rows many.
    return s.m.value() > 4 && is_float(r.a.value->dtype()) && dtype_size(r.a.value->dtype()) == 2 && s.k.value() * s.n.value() < (1 << 16) ? "few weights" : "";
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    Product r = read(p);
    Kernel k(p);
    Sizes s;
    declare(k, r, &s, r.anchor.node->out()->shape());
    CARNOT_ASSIGN(k.body, finish_text(k, p, r));
    k.helper("reductions", std::string(text_of_reductions()));
    const DType t = r.a.value->dtype();
    const std::string acc = compute_type(t);
    const int64_t m = s.m.value(), depth = s.k.value(), n = s.n.value();
    int64_t lanes = 16 / static_cast<int64_t>(dtype_size(t));
    while (lanes > 1 && depth % lanes != 0) lanes /= 2;
    // Long columns that are few are shared by more warps.
    const int64_t share = n >= 1056 || depth < 1024 ? 1 : n >= 264 ? 2 : 4;
    k.body += fmt::format("  const int lane = (int)threadIdx.x % {}, part = (int)threadIdx.x / {};\n  const I col = (I)blockIdx.x * {} + part;\n  {} sums[{}];\n#pragma unroll\n  for (int i = 0; i < {}; ++i) sums[i] = 0;\n",
                          32 * share, 32 * share, 8 / share, acc, m, m);
    k.body += fmt::format("  if (col < {}) {{\n    const bool wide = aligned<{}>(a) && aligned<{}>(b);\n#pragma unroll 4\n    for (I q = lane; q < {}; q += {}) {{\n", n, lanes, lanes, depth / lanes, 32 * share);
    k.body += fmt::format("      Pack<{}, {}> w;\n      if (wide) w = load<{}>(b + col * {} + q * {});\n      else for (int j = 0; j < {}; ++j) w.v[j] = b[col * {} + q * {} + j];\n", storage_type(t), lanes, lanes, depth, lanes, lanes, depth, lanes);
    k.body += fmt::format("#pragma unroll\n      for (int i = 0; i < {}; ++i) {{\n        Pack<{}, {}> x;\n        if (wide) x = load<{}>(a + i * {} + q * {});\n        else for (int j = 0; j < {}; ++j) x.v[j] = a[i * {} + q * {} + j];\n"
                          "#pragma unroll\n        for (int j = 0; j < {}; ++j) sums[i] += up(x.v[j]) * up(w.v[j]);\n      }}\n    }}\n  }}\n", m, storage_type(t), lanes, lanes, depth, lanes, lanes, depth, lanes, lanes);
    k.body += fmt::format("#pragma unroll\n  for (int i = 0; i < {}; ++i) sums[i] = warp_fold<Sum, 32>(sums[i]);\n", m);
    if (share > 1)
      k.body += fmt::format("  __shared__ {} parts[8][{}];\n  if (threadIdx.x % 32 == 0)\n    for (int i = 0; i < {}; ++i) parts[threadIdx.x / 32][i] = sums[i];\n  __syncthreads();\n#pragma unroll\n  for (int i = 0; i < {}; ++i) {{\n    sums[i] = 0;\n    for (int s = 0; s < {}; ++s) sums[i] += parts[part * {} + s][i];\n  }}\n",
                            acc, m, m, m, share, share);
    k.body += fmt::format("#pragma unroll\n  for (int i = 0; i < {}; ++i)\n    if (col < {} && lane == i) {{\n      const I o = i * {} + col;\n      y[o] = finish(sums[i], o, col);\n    }}\n", m, n, n);
    return k.finish("matmul_few_rows", {.x = (n * share + 7) / 8});
  }
};

}  // namespace

CARNOT_TACTICS(cuda, matmul, TileTactic, FewRowsTactic)

}  // namespace carnot::tactics
