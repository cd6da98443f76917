// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.hpp"

#include <cmath>
#include <limits>

#include "ops/support_norm.hpp"

namespace carnot::ops {

namespace {
// q, k or v seen as [batch, heads, length, size], whatever its rank.
struct Heads {
  Dim batch, heads, length, size;
};

Result<Heads> heads_of(const InferCtx& ctx, const OpInfo& info, size_t i, const std::optional<int64_t>& heads) {
  const Shape& s = ctx.shape(i);
  if (s.size() == 4) return Heads{s[0], s[1], s[2], s[3]};
  if (s.size() != 3) return invalid("{} must have rank 3 or 4, got shape {}", operand(info, i), to_string(s));
  if (!heads || *heads < 1)
    return invalid("{} has rank 3: attributes 'q_num_heads' and 'kv_num_heads' must tell the heads", operand(info, i));
  if (s[2].is_constant() && s[2].value() % *heads != 0)
    return invalid("{} has {} features, which {} heads do not divide", operand(info, i), s[2].str(), *heads);
  return Heads{s[0], *heads, s[1], Dim::floordiv(s[2], *heads)};
}

// The same for data: element (b, h, l) starts at b * batch + h * head + l * row.
struct HeadData {
  std::vector<double> data;
  int64_t batches, heads, length, size;
  int64_t batch_stride, head_stride, row_stride;
  const double* row(int64_t b, int64_t h, int64_t l) const {
    return data.data() + b * batch_stride + h * head_stride + l * row_stride;
  }
};

Result<HeadData> load_heads(const TensorView& t, const std::optional<int64_t>& heads) {
  CARNOT_ASSIGN(auto data, to_doubles(t));
  const Dims& d = t.dims;
  if (d.size() == 4) return HeadData{std::move(data), d[0], d[1], d[2], d[3], d[1] * d[2] * d[3], d[2] * d[3], d[3]};
  const int64_t size = d[2] / *heads;
  return HeadData{std::move(data), d[0], *heads, d[1], size, d[1] * d[2], size, d[2]};
}

// past and new rows of every head, as [batch, heads, length, size].
HeadData concatenate(const HeadData& past, const HeadData& now) {
  const int64_t length = past.length + now.length, size = now.size;
  HeadData out{{}, now.batches, now.heads, length, size, now.heads * length * size, length * size, size};
  for (int64_t b = 0; b < out.batches; ++b)
    for (int64_t h = 0; h < out.heads; ++h) {
      for (int64_t l = 0; l < past.length; ++l)
        out.data.insert(out.data.end(), past.row(b, h, l), past.row(b, h, l) + size);
      for (int64_t l = 0; l < now.length; ++l)
        out.data.insert(out.data.end(), now.row(b, h, l), now.row(b, h, l) + size);
    }
  return out;
}

bool agree(const Dim& a, const Dim& b) { return !a.is_constant() || !b.is_constant() || a == b; }
}  // namespace

Result<Facts> Attention::infer(const InferCtx& ctx) const {
  for (size_t i : {0, 1, 2, 4, 5}) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  CARNOT_ASSIGN(const Heads q, heads_of(ctx, info, 0, q_num_heads));
  CARNOT_ASSIGN(const Heads k, heads_of(ctx, info, 1, kv_num_heads));
  CARNOT_ASSIGN(const Heads v, heads_of(ctx, info, 2, kv_num_heads));
  if (ctx.rank(0) != ctx.rank(1) || ctx.rank(0) != ctx.rank(2))
    return invalid("'q', 'k' and 'v' must have one rank, got {}, {}, {}", ctx.rank(0), ctx.rank(1), ctx.rank(2));
  if (!agree(q.size, k.size))
    return invalid("{} has heads of size {}, {} of size {}", operand(info, 0), q.size.str(), operand(info, 1),
                   k.size.str());
  if (!agree(k.heads, v.heads) || !agree(k.length, v.length) || !agree(q.batch, k.batch) || !agree(q.batch, v.batch))
    return invalid("shapes of 'q' {}, 'k' {} and 'v' {} do not fit together", to_string(ctx.shape(0)),
                   to_string(ctx.shape(1)), to_string(ctx.shape(2)));
  if (q.heads.is_constant() && k.heads.is_constant() &&
      (k.heads.value() == 0 || q.heads.value() % k.heads.value() != 0))
    return invalid("{} query heads are no multiple of {} key heads", q.heads.str(), k.heads.str());
  if (ctx.has(4) != ctx.has(5)) return invalid("'past_key' and 'past_value' must be given together");
  Dim total = k.length;
  if (ctx.has(4)) {
    for (size_t i : {4, 5}) CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, 4));
    CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 4, 3, k.size, "the head size of 'k'"));
    CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 5, 3, v.size, "the head size of 'v'"));
    CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 5, 2, ctx.shape(4)[2], "the length of 'past_key'"));
    for (size_t i : {4, 5}) {
      CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, i, 0, q.batch, "the batch of 'q'"));
      CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, i, 1, k.heads, "the key heads"));
    }
    total = ctx.shape(4)[2] + k.length;
  }
  if (ctx.has(3)) {
    if (ctx.dtype(3) != DType::kBool) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 3));
    Shape scores{q.batch, q.heads, q.length, total};
    const Shape& mask = ctx.shape(3);
    if (!mask.empty() && mask.back().is_constant() && total.is_constant() && mask.back().value() < total.value())
      scores.back() = mask.back();
    CARNOT_RETURN_IF_ERROR(expect_broadcasts_to(ctx, info, 3, scores));
  }
  if (ctx.has(6)) CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 6, q.batch, "the batch of 'q'"));
  if (ctx.has(6)) CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 6, DType::kI64));
  if (qk_matmul_output_mode < 0 || qk_matmul_output_mode > 3)
    return invalid("attribute 'qk_matmul_output_mode' is {}; it must be 0 to 3", qk_matmul_output_mode);
  const Shape y =
      ctx.rank(0) == 4 ? Shape{q.batch, q.heads, q.length, v.size} : Shape{q.batch, q.length, q.heads * v.size};
  return Facts{{ctx.dtype(0), y},
               {ctx.dtype(1), {q.batch, k.heads, total, k.size}},
               {ctx.dtype(2), {q.batch, k.heads, total, v.size}},
               {ctx.dtype(0), {q.batch, q.heads, q.length, total}}};
}

Status Attention::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const HeadData q, load_heads(ctx.in[0], q_num_heads));
  CARNOT_ASSIGN(HeadData k, load_heads(ctx.in[1], kv_num_heads));
  CARNOT_ASSIGN(HeadData v, load_heads(ctx.in[2], kv_num_heads));
  HeadData past_k{{}, k.batches, k.heads, 0, k.size, 0, 0, 0}, past_v{{}, v.batches, v.heads, 0, v.size, 0, 0, 0};
  if (ctx.has(4)) {
    CARNOT_ASSIGN(past_k, load_heads(ctx.in[4], std::nullopt));
    CARNOT_ASSIGN(past_v, load_heads(ctx.in[5], std::nullopt));
  }
  k = concatenate(past_k, k);
  v = concatenate(past_v, v);
  const int64_t total = k.length, past = past_k.length;
  const double minus_inf = -std::numeric_limits<double>::infinity();

  std::vector<double> mask;
  int64_t mask_length = total;
  if (ctx.has(3)) {
    if (ctx.in[3].rank() > 0 && ctx.in[3].dims.back() != 1) mask_length = std::min(total, ctx.in[3].dims.back());
    CARNOT_ASSIGN(mask, broadcast_doubles(ctx.in[3], {q.batches, q.heads, q.length, mask_length}));
    if (ctx.in[3].dtype == DType::kBool)
      for (double& m : mask) m = m != 0 ? 0 : minus_inf;
  }
  std::vector<int64_t> valid(static_cast<size_t>(q.batches), total);
  if (ctx.has(6)) {
    CARNOT_ASSIGN(valid, to_int64s(ctx.in[6]));
  }

  const double factor = scale.value_or(1 / std::sqrt(static_cast<double>(q.size)));
  const bool rank4 = ctx.in[0].rank() == 4;
  std::vector<double> y(static_cast<size_t>(q.batches * q.heads * q.length * v.size), 0.0);
  std::vector<double> qk(static_cast<size_t>(q.batches * q.heads * q.length * total));
  for (int64_t b = 0; b < q.batches; ++b)
    for (int64_t h = 0; h < q.heads; ++h)
      for (int64_t i = 0; i < q.length; ++i) {
        const int64_t kv = h / (q.heads / k.heads), row = (b * q.heads + h) * q.length + i;
        std::vector<double> scores(static_cast<size_t>(total));
        double* kept = qk.data() + row * total;
        for (int64_t j = 0; j < total; ++j) {
          double s = 0;
          for (int64_t d = 0; d < q.size; ++d) s += q.row(b, h, i)[d] * k.row(b, kv, j)[d];
          s *= factor;
          if (qk_matmul_output_mode == 0) kept[j] = s;
          if (softcap > 0) s = softcap * std::tanh(s / softcap);
          if (qk_matmul_output_mode == 1) kept[j] = s;
          if (!mask.empty()) s += j < mask_length ? mask[static_cast<size_t>(row * mask_length + j)] : minus_inf;
          if ((is_causal && j - past > i) || j >= valid[static_cast<size_t>(b)]) s = minus_inf;
          if (qk_matmul_output_mode == 2) kept[j] = s;
          scores[static_cast<size_t>(j)] = s;
        }
        double most = minus_inf, sum = 0;
        for (double s : scores) most = std::fmax(most, s);
        for (double& s : scores) sum += s = std::exp(s - most);
        // [batch, heads, length, size] or [batch, length, heads * size]
        double* to = y.data() + (rank4 ? row : (b * q.length + i) * q.heads + h) * v.size;
        for (int64_t j = 0; j < total; ++j) {
          const double weight = scores[static_cast<size_t>(j)] / sum;
          if (qk_matmul_output_mode == 3) kept[j] = weight;
          for (int64_t d = 0; d < v.size; ++d) to[d] += weight * v.row(b, kv, j)[d];
        }
      }
  if (ctx.wants(0)) store(ctx.out[0], y);
  if (ctx.wants(1)) store(ctx.out[1], k.data);
  if (ctx.wants(2)) store(ctx.out[2], v.data);
  if (ctx.wants(3)) store(ctx.out[3], qk);
  return {};
}

CARNOT_DEFINE_OPS(attention, Attention)

}  // namespace carnot::ops
