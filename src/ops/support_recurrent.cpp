// SPDX-License-Identifier: Apache-2.0
#include "ops/support_recurrent.hpp"

#include <algorithm>
#include <cmath>

namespace carnot::ops {

namespace {
using Activation = std::function<double(double)>;

struct ActivationRow {
  std::string_view name;
  bool takes_alpha, takes_beta;
  double alpha, beta;  // defaults
  double (*apply)(double x, double alpha, double beta);
};

constexpr ActivationRow kActivations[] = {
    {"relu", false, false, 0, 0, [](double x, double, double) { return x > 0 ? x : 0; }},
    {"tanh", false, false, 0, 0, [](double x, double, double) { return std::tanh(x); }},
    {"sigmoid", false, false, 0, 0, [](double x, double, double) { return 1 / (1 + std::exp(-x)); }},
    {"affine", true, true, 1, 0, [](double x, double a, double b) { return a * x + b; }},
    {"leakyrelu", true, false, 0.01, 0, [](double x, double a, double) { return x >= 0 ? x : a * x; }},
    {"thresholdedrelu", true, false, 1, 0, [](double x, double a, double) { return x >= a ? x : 0; }},
    {"scaledtanh", true, true, 1, 1, [](double x, double a, double b) { return a * std::tanh(b * x); }},
    {"hardsigmoid", true, true, 0.2, 0.5,
     [](double x, double a, double b) { return std::min(std::max(a * x + b, 0.0), 1.0); }},
    {"elu", true, false, 1, 0, [](double x, double a, double) { return x >= 0 ? x : a * std::expm1(x); }},
    {"softsign", false, false, 0, 0, [](double x, double, double) { return x / (1 + std::abs(x)); }},
    {"softplus", false, false, 0, 0,
     [](double x, double, double) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }},
};

size_t directions(std::string_view direction) { return direction == "bidirectional" ? 2 : 1; }

// The functions of all directions, one after the other. Scaling values are consumed in order by the functions that take
// one.
Result<std::vector<Activation>> make_activations(const RecurrentAttrs& attrs,
                                                 std::span<const std::string_view> defaults) {
  std::vector<std::string> names(attrs.activations.begin(), attrs.activations.end());
  const size_t count = defaults.size() * directions(attrs.direction);
  if (names.empty())
    for (size_t i = 0; i < count; ++i) names.emplace_back(defaults[i % defaults.size()]);
  if (names.size() != count)
    return invalid("attribute 'activations' names {} functions, direction \"{}\" needs {}", names.size(),
                   attrs.direction, count);
  std::vector<Activation> out;
  size_t alpha_at = 0, beta_at = 0;
  for (const std::string& name : names) {
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const auto* row =
        std::find_if(std::begin(kActivations), std::end(kActivations), [&](const auto& r) { return r.name == lower; });
    if (row == std::end(kActivations)) return invalid("attribute 'activations': there is no function '{}'", name);
    double alpha = row->alpha, beta = row->beta;
    if (row->takes_alpha && alpha_at < attrs.alpha.size()) alpha = attrs.alpha[alpha_at++];
    if (row->takes_beta && beta_at < attrs.beta.size()) beta = attrs.beta[beta_at++];
    const double clip = attrs.clip.value_or(0);
    out.emplace_back([apply = row->apply, alpha, beta, clip](double x) {
      return apply(clip > 0 ? std::min(std::max(x, -clip), clip) : x, alpha, beta);
    });
  }
  return out;
}
}  // namespace

Result<Facts> recurrent_facts(const RecurrentAttrs& attrs, const OpInfo& info, const InferCtx& ctx, int64_t gates,
                              bool cell, std::span<const std::string_view> default_activations) {
  if (attrs.direction != "forward" && attrs.direction != "reverse" && attrs.direction != "bidirectional")
    return invalid("attribute 'direction' is \"{}\"; it must be forward, reverse or bidirectional", attrs.direction);
  CARNOT_RETURN_IF_ERROR(make_activations(attrs, default_activations));
  if (attrs.clip && !(*attrs.clip >= 0)) return invalid("attribute 'clip' is {}; it must not be negative", *attrs.clip);
  if (attrs.layout != 0 && attrs.layout != 1)
    return invalid("attribute 'layout' is {}; it must be 0 or 1", attrs.layout);
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  for (size_t i : {0, 1, 2}) CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, 3));
  for (size_t i : {1, 2, 3, 5}) CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
  const Shape& x = ctx.shape(0);
  const auto dirs = static_cast<int64_t>(directions(attrs.direction));
  const Dim time = x[attrs.layout ? 1 : 0], &input = x[2];
  // A batch that x leaves open may be known of the initial state.
  Dim batch = x[attrs.layout ? 0 : 1];
  for (size_t i : {5, 6})
    if (!batch.is_constant() && ctx.has(i) && ctx.rank(i) == 3 && ctx.shape(i)[attrs.layout ? 0 : 1].is_constant())
      batch = ctx.shape(i)[attrs.layout ? 0 : 1];
  if (attrs.hidden_size && (*attrs.hidden_size < 1 || *attrs.hidden_size > (int64_t{1} << 30)))
    return invalid("attribute 'hidden_size' is {}; it must be positive", *attrs.hidden_size);
  const Dim hidden = attrs.hidden_size ? Dim(*attrs.hidden_size) : ctx.shape(2)[2];
  auto expect = [&](size_t i, const Shape& needed, std::string_view what) -> Status {
    if (!ctx.has(i)) return {};
    CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, needed.size()));
    for (size_t k = 0; k < needed.size(); ++k) CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, i, k, needed[k], what));
    return {};
  };
  CARNOT_RETURN_IF_ERROR(expect(1, {dirs, hidden * gates, input}, "[directions, gates*hidden, inputs]"));
  CARNOT_RETURN_IF_ERROR(expect(2, {dirs, hidden * gates, hidden}, "[directions, gates*hidden, hidden]"));
  CARNOT_RETURN_IF_ERROR(expect(3, {dirs, hidden * (2 * gates)}, "[directions, 2*gates*hidden]"));
  CARNOT_RETURN_IF_ERROR(expect(4, {batch}, "the batch of 'x'"));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 4, DType::kI32));
  const Shape state = attrs.layout ? Shape{batch, dirs, hidden} : Shape{dirs, batch, hidden};
  CARNOT_RETURN_IF_ERROR(
      expect(5, state, attrs.layout ? "[batch, directions, hidden]" : "[directions, batch, hidden]"));
  if (cell) {
    for (size_t i : {6, 7}) CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
    CARNOT_RETURN_IF_ERROR(
        expect(6, state, attrs.layout ? "[batch, directions, hidden]" : "[directions, batch, hidden]"));
    CARNOT_RETURN_IF_ERROR(expect(7, {dirs, hidden * 3}, "[directions, 3*hidden]"));
  }
  const Shape y = attrs.layout ? Shape{batch, time, dirs, hidden} : Shape{time, dirs, batch, hidden};
  Facts facts{{ctx.dtype(0), y}, {ctx.dtype(0), state}};
  if (cell) facts.push_back({ctx.dtype(0), state});
  return facts;
}

Status run_recurrent(const RecurrentAttrs& attrs, EvalCtx& ctx, int64_t gates, bool cell,
                     std::span<const std::string_view> default_activations,
                     const std::function<void(const RecurrentStep&)>& step) {
  CARNOT_ASSIGN(const auto activations, make_activations(attrs, default_activations));
  const size_t dirs = directions(attrs.direction), per_direction = activations.size() / dirs;
  const Dims& xd = ctx.in[0].dims;
  const auto time = static_cast<size_t>(xd[attrs.layout ? 1 : 0]),
             batch = static_cast<size_t>(xd[attrs.layout ? 0 : 1]);
  const auto input = static_cast<size_t>(xd[2]), hidden = static_cast<size_t>(ctx.in[2].dims[2]),
             rows = static_cast<size_t>(gates) * hidden;
  auto optional = [&](size_t i, size_t size) -> Result<std::vector<double>> {
    if (!ctx.has(i)) return std::vector<double>(size, 0.0);
    if (static_cast<size_t>(ctx.in[i].size()) != size)
      return invalid("input {} has shape {}, which does not fit x of shape {}", i, to_string(ctx.in[i].dims), to_string(xd));
    return to_doubles(ctx.in[i]);
  };
  CARNOT_ASSIGN(const auto x, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const auto w, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(const auto r, to_doubles(ctx.in[2]));
  CARNOT_ASSIGN(const auto bias, optional(3, dirs * 2 * rows));
  CARNOT_ASSIGN(auto state_h, optional(5, dirs * batch * hidden));
  std::vector<double> state_c, peepholes;
  if (cell) {
    CARNOT_ASSIGN(state_c, optional(6, dirs * batch * hidden));
    CARNOT_ASSIGN(peepholes, optional(7, dirs * 3 * hidden));
  }
  std::vector<int64_t> lengths(batch, static_cast<int64_t>(time));
  if (ctx.has(4)) {
    CARNOT_ASSIGN(lengths, to_int64s(ctx.in[4]));
    if (lengths.size() != batch) return invalid("input 4 ('sequence_lens') has {} elements for a batch of {}", lengths.size(), batch);
    for (int64_t n : lengths)
      if (n < 0 || n > static_cast<int64_t>(time))
        return invalid("input 4 ('sequence_lens') holds {}, outside [0, {}]", n, time);
  }
  std::vector<double> y(time * dirs * batch * hidden, 0.0), from_x(rows), from_h(rows);
  for (size_t d = 0; d < dirs; ++d) {
    const bool backwards = attrs.direction == "reverse" || d == 1;
    const std::span<const double> wd(w.data() + d * rows * input, rows * input),
        rd(r.data() + d * rows * hidden, rows * hidden), bd(bias.data() + d * 2 * rows, 2 * rows);
    for (size_t b = 0; b < batch; ++b) {
      const size_t state_at = (attrs.layout ? b * dirs + d : d * batch + b) * hidden;
      const std::span<double> h(state_h.data() + state_at, hidden);
      const std::span<double> c = cell ? std::span<double>(state_c.data() + state_at, hidden) : std::span<double>();
      const auto length = static_cast<size_t>(lengths[b]);
      for (size_t k = 0; k < length; ++k) {
        const size_t t = backwards ? length - 1 - k : k;
        const double* xt = x.data() + (attrs.layout ? b * time + t : t * batch + b) * input;
        for (size_t g = 0; g < rows; ++g) {
          from_x[g] = bd[g];
          from_h[g] = bd[rows + g];
          for (size_t i = 0; i < input; ++i) from_x[g] += wd[g * input + i] * xt[i];
          for (size_t i = 0; i < hidden; ++i) from_h[g] += rd[g * hidden + i] * h[i];
        }
        step({hidden, std::span(activations).subspan(d * per_direction, per_direction), from_x, from_h, rd,
              bd.subspan(rows),
              cell ? std::span<const double>(peepholes.data() + d * 3 * hidden, 3 * hidden) : std::span<const double>(),
              h, c});
        const size_t y_at = (attrs.layout ? (b * time + t) * dirs + d : (t * dirs + d) * batch + b) * hidden;
        std::copy(h.begin(), h.end(), y.begin() + static_cast<ptrdiff_t>(y_at));
      }
    }
  }
  if (ctx.wants(0)) store(ctx.out[0], y);
  if (ctx.wants(1)) store(ctx.out[1], state_h);
  if (ctx.wants(2)) store(ctx.out[2], state_c);
  return {};
}

}  // namespace carnot::ops
