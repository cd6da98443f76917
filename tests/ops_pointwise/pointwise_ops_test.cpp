// SPDX-License-Identifier: Apache-2.0
// Element-wise operators: values against independent formulas, ONNX's corner cases, symbolic shape arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/cast.hpp"
#include "ops/clip.hpp"
#include "ops/pointwise.hpp"
#include "ops/where.hpp"

namespace carnot::ops {
namespace {

class Eval : public EvalCtx {
 public:
  Status allocate(size_t, Dims) override { return {}; }
  Result<std::vector<TensorView>> run_body(size_t, std::span<const TensorView>) override { return invalid("no bodies"); }
};

Result<Facts> infer(const Operator& op, const std::vector<ValueFacts>& facts, const std::vector<Constant>& constants = {}) {
  std::vector<InferCtx::Input> inputs;
  std::vector<TensorView> views;
  for (const Constant& c : constants) views.push_back(c.view());
  for (size_t i = 0; i < facts.size(); ++i)
    inputs.push_back({facts[i].dtype == DType::kInvalid ? nullptr : &facts[i], i < views.size() ? &views[i] : nullptr});
  return op.infer(InferCtx(inputs, 1, [](std::string_view hint) { return Dim::symbol(hint); }));
}

// Infers and evaluates; a Constant of dtype kInvalid is an absent operand.
Constant run(const Operator& op, const std::vector<Constant>& in) {
  std::vector<ValueFacts> facts;
  Eval ctx;
  std::vector<TensorView> views;
  for (const Constant& c : in) {
    facts.push_back({c.dtype, to_shape(c.dims)});
    views.push_back(c.view());
  }
  auto out = infer(op, facts);
  if (!out) {
    ADD_FAILURE() << op.str() << ": " << out.error().message;
    return {};
  }
  Constant y = Constant::allocate((*out)[0].dtype, to_dims((*out)[0].shape));
  std::vector<TensorView> outs{y.view()};
  ctx.in = views;
  ctx.out = outs;
  const Status status = op.evaluate(ctx);
  EXPECT_TRUE(status.ok()) << op.str();
  return y;
}

Operator make(std::string_view name, const Attrs& attrs = {}) {
  auto op = make_op(name, attrs);
  CARNOT_CHECK(op.ok());
  return *op;
}

template <typename T>
std::vector<T> values(const Constant& c) {
  return {c.as<T>(), c.as<T>() + c.size()};
}

template <typename T>
std::vector<T> run1(std::string_view name, std::vector<T> x, const Attrs& attrs = {}) {
  return values<T>(run(make(name, attrs), {Constant::from<T>({static_cast<int64_t>(x.size())}, x)}));
}
template <typename T>
std::vector<T> run2(std::string_view name, std::vector<T> a, std::vector<T> b, const Attrs& attrs = {}) {
  return values<T>(run(make(name, attrs), {Constant::from<T>({static_cast<int64_t>(a.size())}, a), Constant::from<T>({static_cast<int64_t>(b.size())}, b)}));
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Pointwise, EveryRowWithAnOperatorIsFoundAndNamesItself) {
  int operators = 0;
  for (int i = 0; i < kPointwiseRowCount; ++i) {
    const PointwiseRow& row = pointwise_row(static_cast<PointwiseOp>(i));
    EXPECT_EQ(find_pointwise(row.name), row.op);
    if (!row.has_operator) continue;
    ++operators;
    auto op = make_op(row.name, {});
    ASSERT_TRUE(op.ok()) << row.name;
    auto call = pointwise_call(*op);
    ASSERT_TRUE(call.has_value()) << row.name;
    EXPECT_EQ(call->op, row.op);
    EXPECT_EQ(call->alpha, row.alpha);
    EXPECT_TRUE(op->permuted({1, 0}).has_value());
  }
  EXPECT_GT(operators, 60);
  EXPECT_EQ(pointwise_call(make("gelu", {{"approximate", std::string("tanh")}}))->op, PointwiseOp::kGeluTanh);
  EXPECT_EQ(pointwise_call(make("where"))->op, PointwiseOp::kWhere);
  EXPECT_FALSE(pointwise_call(make("gather")).has_value());
}

TEST(Pointwise, FloatFunctions) {
  struct Case {
    const char* name;
    double (*f)(double);
  };
  const Case cases[] = {
      {"relu", [](double x) { return x > 0 ? x : 0; }},
      {"sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"gelu", [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }},
      {"mish", [](double x) { return x * std::tanh(std::log(1 + std::exp(x))); }},
      {"softplus", [](double x) { return std::log(1 + std::exp(x)); }},
      {"softsign", [](double x) { return x / (1 + std::fabs(x)); }},
      {"hard_swish", [](double x) { return x * std::min(1.0, std::max(0.0, x / 6 + 0.5)); }},
      {"hard_sigmoid", [](double x) { return std::min(1.0, std::max(0.0, 0.2 * x + 0.5)); }},
      {"silu", [](double x) { return x / (1 + std::exp(-x)); }},
      {"quick_gelu", [](double x) { return x / (1 + std::exp(-1.702 * x)); }},
      {"leaky_relu", [](double x) { return x < 0 ? 0.01 * x : x; }},
      {"elu", [](double x) { return x < 0 ? std::exp(x) - 1 : x; }},
      {"celu", [](double x) { return std::max(0.0, x) + std::min(0.0, std::exp(x) - 1); }},
      {"selu", [](double x) { return 1.0507010221481323 * (x > 0 ? x : 1.6732631921768188 * (std::exp(x) - 1)); }},
      {"shrink", [](double x) { return x < -0.5 ? x : x > 0.5 ? x : 0.0; }},
      {"thresholded_relu", [](double x) { return x > 1 ? x : 0.0; }},
      {"neg", [](double x) { return -x; }},
      {"abs", [](double x) { return std::fabs(x); }},
      {"sign", [](double x) { return double((x > 0) - (x < 0)); }},
      {"reciprocal", [](double x) { return 1 / x; }},
      {"floor", [](double x) { return std::floor(x); }},
      {"ceil", [](double x) { return std::ceil(x); }},
      {"exp", [](double x) { return std::exp(x); }},
      {"erf", [](double x) { return std::erf(x); }},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"sin", [](double x) { return std::sin(x); }},
      {"cos", [](double x) { return std::cos(x); }},
      {"atan", [](double x) { return std::atan(x); }},
      {"asinh", [](double x) { return std::asinh(x); }},
  };
  std::vector<float> x;
  for (int i = -60; i <= 60; ++i)
    if (i != 0) x.push_back(float(i) * 0.17f);
  for (const Case& c : cases) {
    const auto y = run1<float>(c.name, x);
    const std::vector<double> wide(x.begin(), x.end());
    const auto z = run1<double>(c.name, wide);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = c.f(x[i]);
      EXPECT_NEAR(y[i], want, 4e-7 * std::max(1.0, std::fabs(want))) << c.name << "(" << x[i] << ")";
      EXPECT_NEAR(z[i], want, 1e-13 * std::max(1.0, std::fabs(want))) << c.name << "(" << x[i] << ")";
    }
  }
  const auto tanh_gelu = values<float>(run(make("gelu", {{"approximate", std::string("tanh")}}), {Constant::from<float>({3}, {-1.f, 0.5f, 3.f})}));
  EXPECT_NEAR(tanh_gelu[0], -0.15880801, 1e-6);
  EXPECT_NEAR(tanh_gelu[1], 0.34571401, 1e-6);
}

TEST(Pointwise, RoundIsHalfToEven) {
  EXPECT_EQ(run1<float>("round", {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 2.3f}), (std::vector<float>{0, 2, 2, -0.f, -2, 2}));
}

TEST(Pointwise, IntegerDivisionTruncatesAndModFollowsTheFlag) {
  EXPECT_EQ(run2<int32_t>("div", {7, -7, 7, -7, 5, INT32_MIN}, {2, 2, -2, -2, 0, -1}), (std::vector<int32_t>{3, -3, -3, 3, 0, INT32_MIN}));
  EXPECT_EQ(run2<int64_t>("mod", {-4, 7, 5, 4, -7, 8}, {2, -3, 8, -2, 3, 0}), (std::vector<int64_t>{0, -2, 5, 0, 2, 0}));
  EXPECT_EQ(run2<int64_t>("mod", {-4, 7, -7}, {3, -3, 3}, {{"fmod", int64_t{1}}}), (std::vector<int64_t>{-1, 1, -1}));
  EXPECT_EQ(run2<float>("mod", {-4.5f, 4.5f}, {2, -2}, {{"fmod", int64_t{1}}}), (std::vector<float>{-0.5f, 0.5f}));
  EXPECT_EQ(run2<float>("mod", {-4.5f, 4.5f}, {2, -2}), (std::vector<float>{1.5f, -1.5f}));
}

TEST(Pointwise, NarrowIntegersWrap) {
  EXPECT_EQ(run2<uint8_t>("add", {250}, {10}), (std::vector<uint8_t>{4}));
  EXPECT_EQ(run2<int8_t>("mul", {100}, {2}), (std::vector<int8_t>{-56}));
  EXPECT_EQ(run2<int64_t>("add", {INT64_MAX}, {1}), (std::vector<int64_t>{INT64_MIN}));
  EXPECT_EQ(run2<uint8_t>("bit_shift", {16, 4, 1}, {1, 2, 9}, {{"direction", std::string("LEFT")}}), (std::vector<uint8_t>{32, 16, 0}));
  EXPECT_EQ(run2<uint64_t>("bit_shift", {~uint64_t{0}}, {63}, {{"direction", std::string("RIGHT")}}), (std::vector<uint64_t>{1}));
  EXPECT_EQ(run1<uint8_t>("bitwise_not", {1}), (std::vector<uint8_t>{254}));
}

TEST(Pointwise, NaNWinsInMinMaxAndPassesRelu) {
  for (const char* name : {"min", "max"}) {
    const auto y = run2<float>(name, {kNaN, 1, 2}, {1, kNaN, 3});
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1])) << name;
    EXPECT_FALSE(std::isnan(y[2]));
  }
  EXPECT_TRUE(std::isnan(run1<float>("relu", {kNaN})[0]));
}

TEST(Pointwise, PowMixesTypesAndKeepsTheBase) {
  EXPECT_EQ(values<float>(run(make("pow"), {Constant::from<float>({3}, {1, 2, 3}), Constant::scalar<int64_t>(2)})), (std::vector<float>{1, 4, 9}));
  EXPECT_EQ(values<int32_t>(run(make("pow"), {Constant::from<int32_t>({2}, {4, 9}), Constant::scalar<float>(0.5f)})), (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(run2<int64_t>("pow", {3, -2, 2, -1}, {4, 3, -1, -3}), (std::vector<int64_t>{81, -8, 0, -1}));
}

TEST(Pointwise, HalfIsComputedInFloat) {
  const auto y = run(make("add"), {Constant::from<float16>({1}, {float16(1.f)}), Constant::from<float16>({2}, {float16(0.5f), float16(0.0004f)})});
  EXPECT_EQ(y.dtype, DType::kF16);
  EXPECT_EQ(float(y.as<float16>()[0]), 1.5f);
  EXPECT_EQ(float(y.as<float16>()[1]), 1.f);
  const auto b = run(make("mul"), {Constant::from<bfloat16>({1}, {bfloat16(3.f)}), Constant::from<bfloat16>({1}, {bfloat16(0.5f)})});
  EXPECT_EQ(float(b.as<bfloat16>()[0]), 1.5f);
}

TEST(Pointwise, Broadcasting) {
  const auto y = run(make("sub"), {Constant::from<int32_t>({2, 1, 3}, {1, 2, 3, 4, 5, 6}), Constant::from<int32_t>({2, 1}, {10, 20})});
  EXPECT_EQ(y.dims, (Dims{2, 2, 3}));
  EXPECT_EQ(values<int32_t>(y), (std::vector<int32_t>{-9, -8, -7, -19, -18, -17, -6, -5, -4, -16, -15, -14}));
  const auto empty = run(make("add"), {Constant::from<float>({0, 3}, {}), Constant::from<float>({3}, {1, 2, 3})});
  EXPECT_EQ(empty.dims, (Dims{0, 3}));
  EXPECT_FALSE(infer(make("add"), {{DType::kF32, {2, 3}}, {DType::kF32, {4}}}).ok());
  EXPECT_FALSE(infer(make("add"), {{DType::kF32, {2}}, {DType::kI32, {2}}}).ok());
  EXPECT_FALSE(infer(make("exp"), {{DType::kI32, {2}}}).ok());
}

TEST(Pointwise, Comparisons) {
  const auto less = run(make("less"), {Constant::from<float>({3}, {1, 2, kNaN}), Constant::from<float>({1}, {2})});
  EXPECT_EQ(less.dtype, DType::kBool);
  EXPECT_EQ(values<uint8_t>(less), (std::vector<uint8_t>{1, 0, 0}));
  const auto inf = run(make("isinf", {{"detect_negative", int64_t{0}}}), {Constant::from<float>({3}, {kInf, -kInf, 1})});
  EXPECT_EQ(values<uint8_t>(inf), (std::vector<uint8_t>{1, 0, 0}));
  const uint8_t bits[] = {1, 1, 0, 0}, others[] = {1, 0, 1, 0};
  const Constant a = Constant::copy_of(DType::kBool, {4}, bits), b = Constant::copy_of(DType::kBool, {4}, others);
  EXPECT_EQ(values<uint8_t>(run(make("and"), {a, b})), (std::vector<uint8_t>{1, 0, 0, 0}));
  EXPECT_EQ(values<uint8_t>(run(make("or"), {a, b})), (std::vector<uint8_t>{1, 1, 1, 0}));
  EXPECT_EQ(values<uint8_t>(run(make("xor"), {a, b})), (std::vector<uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ(values<uint8_t>(run(make("not"), {a})), (std::vector<uint8_t>{0, 0, 1, 1}));
  EXPECT_EQ(values<uint8_t>(run(make("equal"), {a, b})), (std::vector<uint8_t>{1, 0, 0, 1}));
}

TEST(Pointwise, WhereChoosesAnyType) {
  const uint8_t mask[] = {1, 0};
  const Constant c = Constant::copy_of(DType::kBool, {2, 1}, mask);
  EXPECT_EQ(values<int64_t>(run(make("where"), {c, Constant::from<int64_t>({2}, {1, 2}), Constant::scalar<int64_t>(-1)})), (std::vector<int64_t>{1, 2, -1, -1}));
  EXPECT_EQ(values<uint8_t>(run(make("where"), {c, c, c})), (std::vector<uint8_t>{1, 0}));
  EXPECT_TRUE(std::isnan(values<float>(run(make("where"), {c, Constant::scalar<float>(1), Constant::scalar<float>(kNaN)}))[1]));
}

TEST(Pointwise, ClipWithAbsentBounds) {
  const Constant x = Constant::from<float>({4}, {-2, 0, 2, kNaN}), none;
  const auto both = values<float>(run(Operator(Clip{}), {x, Constant::scalar<float>(-1), Constant::scalar<float>(1)}));
  EXPECT_EQ(both[0], -1);
  EXPECT_EQ(both[2], 1);
  EXPECT_TRUE(std::isnan(both[3]));
  EXPECT_EQ(values<float>(run(Operator(Clip{}), {x, none, Constant::scalar<float>(1)}))[0], -2);
  EXPECT_EQ(values<float>(run(Operator(Clip{}), {x, Constant::scalar<float>(3), Constant::scalar<float>(1)}))[0], 1);
  EXPECT_EQ(values<int8_t>(run(Operator(Clip{}), {Constant::from<int8_t>({2}, {-5, 5}), Constant::scalar<int8_t>(0)})), (std::vector<int8_t>{0, 5}));
}

TEST(Pointwise, Cast) {
  auto cast = [](DType to) { return make("cast", {{"to", to}}); };
  const Constant x = Constant::from<float>({6}, {1.9f, -1.9f, 0.f, 300.f, kNaN, kInf});
  EXPECT_EQ(values<int32_t>(run(cast(DType::kI32), {x}))[1], -1);
  EXPECT_EQ(values<int64_t>(run(cast(DType::kI64), {x})), (std::vector<int64_t>{1, -1, 0, 300, 0, INT64_MAX}));
  EXPECT_EQ(values<uint8_t>(run(cast(DType::kBool), {x})), (std::vector<uint8_t>{1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(values<uint8_t>(run(cast(DType::kU8), {Constant::from<int32_t>({2}, {257, -1})})), (std::vector<uint8_t>{1, 255}));
  EXPECT_EQ(values<float>(run(cast(DType::kF32), {Constant::from<float16>({1}, {float16(0.25f)})}))[0], 0.25f);
  EXPECT_EQ(values<uint64_t>(run(cast(DType::kU64), {Constant::scalar<double>(1e19)}))[0], 10000000000000000000ull);
  EXPECT_TRUE(make_op("cast", {{"to", int64_t{7}}}).ok());
  EXPECT_FALSE(make_op("cast", {{"to", int64_t{99}}}).ok());
  EXPECT_FALSE(make_op("cast", {}).ok());
}

TEST(Pointwise, ShapeArithmeticStaysSymbolic) {
  const Dim n = Dim::symbol("n");
  auto fact = [](std::vector<Dim> v) {
    ValueFacts f{DType::kI64, {Dim(static_cast<int64_t>(v.size()))}};
    f.values = std::move(v);
    return f;
  };
  auto fold = [&](std::string_view name, ValueFacts a, ValueFacts b) {
    auto out = infer(make(name), {std::move(a), std::move(b)});
    CARNOT_CHECK(out.ok());
    return (*out)[0].values;
  };
  EXPECT_EQ(fold("add", fact({n, 3}), fact({1})), (std::vector<Dim>{n + 1, 4}));
  EXPECT_EQ(fold("mul", fact({n, 3}), fact({2, n})), (std::vector<Dim>{2 * n, 3 * n}));
  EXPECT_EQ(fold("div", fact({n}), fact({2})), (std::vector<Dim>{Dim::floordiv(n, 2)}));
  EXPECT_EQ(fold("div", fact({n - 5}), fact({2})), std::nullopt);
  EXPECT_EQ(fold("div", fact({-7}), fact({2})), (std::vector<Dim>{-3}));
  EXPECT_EQ(fold("mod", fact({-7}), fact({2})), (std::vector<Dim>{1}));
  EXPECT_EQ(fold("equal", fact({n, 4}), fact({-1})), (std::vector<Dim>{0, 0}));
  EXPECT_EQ(fold("equal", fact({n}), fact({n})), (std::vector<Dim>{1}));
  EXPECT_EQ(fold("equal", fact({n}), fact({4})), std::nullopt);
  EXPECT_EQ(fold("less", fact({n}), fact({n + 1})), (std::vector<Dim>{1}));
  EXPECT_EQ(fold("greater", fact({n}), fact({n + 1})), (std::vector<Dim>{0}));
  EXPECT_EQ(fold("greater_equal", fact({n}), fact({0})), (std::vector<Dim>{1}));
  ValueFacts mask{DType::kBool, {2}};
  mask.values = std::vector<Dim>{1, 0};
  auto chosen = infer(make("where"), {mask, fact({n, n}), fact({7, 7})});
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ((*chosen)[0].values, (std::vector<Dim>{n, 7}));
  auto cast = infer(make("cast", {{"to", DType::kI32}}), {fact({n, 2})});
  ASSERT_TRUE(cast.ok());
  EXPECT_EQ((*cast)[0].values, (std::vector<Dim>{n, 2}));
}

}  // namespace
}  // namespace carnot::ops
