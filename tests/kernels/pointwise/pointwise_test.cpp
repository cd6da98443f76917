// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/pointwise/pointwise.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/pointwise_scalar.hpp"
#include "base/tensor.hpp"
#include "base/threads.hpp"

// The same lines on double and int64_t: the reference of every kernel.
namespace carnot::pointwise_scalar {
template <typename T>
T reference(PointwiseOp op, T a, T b, T c, T alpha, T beta) {
  const T x = a;
  switch (op) {
#define CARNOT_POINTWISE(id, n_, ar_, ty_, r_, p0, d0, p1, d1, o_, s_, ...)                                             \
  case PointwiseOp::k##id:                                                                                               \
    if constexpr ((pointwise_row(PointwiseOp::k##id).types & (std::is_floating_point_v<T> ? kPointwiseFloats : kPointwiseIntegers)) != 0) \
      return static_cast<T>(__VA_ARGS__);                                                                                \
    break;
#include "base/pointwise.inc"
  }
  return T(x + b + c + alpha + beta);
}
}  // namespace carnot::pointwise_scalar

namespace carnot::cpu {
namespace {

std::vector<Isa> isas() {
  std::vector<Isa> out;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
    if (isa <= cpu_features().isa) out.push_back(isa);
  return out;
}

ThreadPool& pool() {
  static ThreadPool p(2);
  return p;
}

PointwiseProgram parse(std::string_view text) {
  auto p = PointwiseProgram::parse(text);
  if (!p) ADD_FAILURE() << p.error().message << " in " << text;
  return p ? *p : PointwiseProgram();
}

std::vector<Constant> run(const PointwiseProgram& p, const std::vector<Constant>& in, const Dims& dims, Isa isa) {
  std::vector<PointwiseInput> inputs;
  for (const Constant& c : in) inputs.push_back({c.data, &c.dims});
  std::vector<Constant> out;
  std::vector<PointwiseResult> pointers;
  for (const PointwiseOutput& o : p.outputs) {
    out.push_back(Constant::allocate(o.dtype, dims));
    pointers.push_back(out.back().mutable_data());
  }
  const Status status = run_pointwise(p, inputs, pointers, dims, pool(), isa);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.message());
  return out;
}

std::vector<float> random_floats(int64_t n, float low, float high, int seed) {
  std::mt19937 rng(static_cast<unsigned>(seed));
  std::uniform_real_distribution<float> d(low, high);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = d(rng);
  return out;
}

// Every row on floats, on every instruction set, at sizes that leave every kind of tail.
TEST(PointwiseKernels, EveryRowOnFloats) {
  for (int index = 0; index < kPointwiseRowCount; ++index) {
    const PointwiseRow& row = pointwise_row(static_cast<PointwiseOp>(index));
    if (!(row.types & kPointwiseFloats) || row.op == PointwiseOp::kWhere) continue;
    float low = -6, high = 6;
    if (row.name == "asin" || row.name == "acos" || row.name == "atanh") low = -0.99f, high = 0.99f;
    if (row.name == "acosh") low = 1, high = 9;
    if (row.name == "log" || row.name == "sqrt" || row.name == "pow") low = 0.01f, high = 5;
    for (Isa isa : isas())
      for (int64_t n : {0, 1, 15, 16, 37, 5000}) {
        PointwiseProgram p;
        PointwiseOperand in[3];
        std::vector<Constant> data;
        for (int k = 0; k < row.arity; ++k) {
          in[k] = p.add_input(DType::kF32);
          data.push_back(Constant::from<float>({n}, random_floats(n, low, high, k)));
        }
        p.add_output(row.gives_bool ? DType::kBool : DType::kF32, p.add(row.op, in[0], in[1], in[2], row.alpha, row.beta));
        ASSERT_TRUE(p.verify().ok());
        const Constant y = run(p, data, {n}, isa)[0];
        for (int64_t i = 0; i < n; ++i) {
          auto at = [&](int k) { return k < row.arity ? double(data[static_cast<size_t>(k)].as<float>()[i]) : 0.0; };
          const double want = pointwise_scalar::reference<double>(row.op, at(0), at(1), at(2), float(row.alpha), float(row.beta));
          const double got = row.gives_bool ? y.as<uint8_t>()[i] : y.as<float>()[i];
          ASSERT_NEAR(got, want, 1e-6 * std::max(1.0, std::fabs(want))) << row.name << " " << at(0) << " " << at(1) << " " << isa_name(isa);
        }
      }
  }
}

TEST(PointwiseKernels, SpecialValues) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x{kNaN, kInf, -kInf, 0.f, -0.f, 1e-40f, 3e38f, -3e38f, 100.f, -100.f, 0.5f, 1.5f, 2.5f, -2.5f};
  for (Isa isa : isas())
    for (const char* name : {"relu", "sigmoid", "silu", "tanh", "erf", "exp", "log", "abs", "neg", "round", "floor", "ceil", "isnan", "isinf", "sqrt",
                             "softplus", "elu", "sign", "reciprocal"}) {
      const PointwiseRow& row = pointwise_row(*find_pointwise(name));
      PointwiseProgram p;
      const auto a = p.add_input(DType::kF32);
      p.add_output(row.gives_bool ? DType::kBool : DType::kF32, p.add(row.op, a, {}, {}, row.alpha, row.beta));
      ASSERT_TRUE(p.verify().ok());
      const Constant y = run(p, {Constant::from<float>({14}, x)}, {14}, isa)[0];
      for (size_t i = 0; i < x.size(); ++i) {
        const float want = pointwise_scalar::reference<float>(row.op, x[i], 0, 0, float(row.alpha), float(row.beta));
        const float got = row.gives_bool ? float(y.as<uint8_t>()[i]) : y.as<float>()[i];
        if (std::isnan(want))
          EXPECT_TRUE(std::isnan(got)) << name << "(" << x[i] << ") " << isa_name(isa);
        else if (std::isinf(want))
          EXPECT_EQ(got, want) << name << "(" << x[i] << ") " << isa_name(isa);
        else
          EXPECT_NEAR(got, want, 1e-6f * std::max(1.f, std::fabs(want))) << name << "(" << x[i] << ") " << isa_name(isa);
      }
    }
  for (Isa isa : isas())
    for (const char* name : {"min", "max"}) {
      const PointwiseProgram p = parse(std::string("in f32,f32; ") + name + " $0,$1; out f32:%0");
      const Constant y = run(p, {Constant::from<float>({3}, {kNaN, 1, 2}), Constant::from<float>({3}, {1, kNaN, 3})}, {3}, isa)[0];
      EXPECT_TRUE(std::isnan(y.as<float>()[0]) && std::isnan(y.as<float>()[1]) && !std::isnan(y.as<float>()[2])) << name << isa_name(isa);
    }
}

TEST(PointwiseKernels, EveryRowOnIntegers) {
  std::mt19937_64 rng(7);
  for (int index = 0; index < kPointwiseRowCount; ++index) {
    const PointwiseRow& row = pointwise_row(static_cast<PointwiseOp>(index));
    if (!(row.types & kPointwiseIntegers) || row.op == PointwiseOp::kWhere) continue;
    const int64_t n = 333;
    std::vector<std::vector<int64_t>> x(3, std::vector<int64_t>(n));
    for (auto& list : x)
      for (auto& e : list) e = static_cast<int64_t>(rng() % 41) - 20;
    for (Isa isa : isas())
      for (DType dtype : {DType::kI64, DType::kI32, DType::kI8}) {
        PointwiseProgram p;
        PointwiseOperand in[3];
        std::vector<Constant> data;
        for (int k = 0; k < row.arity; ++k) {
          in[k] = p.add_input(dtype);
          const auto& list = x[static_cast<size_t>(k)];
          data.push_back(dtype == DType::kI64 ? Constant::from<int64_t>({n}, list)
                         : dtype == DType::kI32 ? Constant::from<int32_t>({n}, {list.begin(), list.end()})
                                                : Constant::from<int8_t>({n}, {list.begin(), list.end()}));
        }
        p.add_output(row.gives_bool ? DType::kBool : dtype, p.add(row.op, in[0], in[1], in[2], row.alpha, row.beta));
        ASSERT_TRUE(p.verify().ok()) << row.name;
        const Constant y = run(p, data, {n}, isa)[0];
        const auto got = to_int64s(y.view());
        for (size_t i = 0; i < n; ++i) {
          int64_t want = 0;
          if (dtype == DType::kI64)
            want = pointwise_scalar::reference<int64_t>(row.op, x[0][i], x[1][i], x[2][i], int64_t(row.alpha), int64_t(row.beta));
          else
            want = pointwise_scalar::reference<int32_t>(row.op, int32_t(x[0][i]), int32_t(x[1][i]), int32_t(x[2][i]), int32_t(row.alpha), int32_t(row.beta));
          if (dtype == DType::kI8 && !row.gives_bool) want = static_cast<int8_t>(want);
          ASSERT_EQ((*got)[i], want) << row.name << " " << x[0][i] << " " << x[1][i] << " " << dtype_name(dtype) << " " << isa_name(isa);
        }
      }
  }
}

// All ways to broadcast, against plain index arithmetic.
TEST(PointwiseKernels, Broadcasting) {
  const std::vector<std::tuple<Dims, Dims, Dims>> cases = {
      {{2, 3, 4}, {2, 3, 4}, {2, 3, 4}},  {{2, 3, 4}, {4}, {1}},           {{7, 5}, {7, 1}, {5}},        {{3, 1, 5}, {2, 1}, {1, 2, 5}},
      {{2, 3000}, {3000}, {2, 1}},        {{2, 64, 50}, {64, 1}, {1}},     {{300, 3}, {3}, {300, 1}},    {{4, 1, 3, 1}, {1, 5, 1, 6}, {4, 1, 1, 6}},
      {{0, 3}, {3}, {1}},                 {{}, {}, {}},                    {{1, 1}, {1}, {}},            {{2, 1, 2, 1, 2}, {1, 3, 1, 3, 1}, {1}},
      {{5, 1000, 2}, {5, 1, 2}, {1000, 1}},
  };
  const PointwiseProgram p = parse("in f32,f32,f32; sub $0,$1; mul %0,$2; out f32:%1");
  for (const auto& [da, db, dc] : cases) {
    Dims out = *broadcast_dims(*broadcast_dims(da, db), dc);
    const Constant in[3] = {Constant::from<float>(da, random_floats(size_of(da), -1, 1, 1)), Constant::from<float>(db, random_floats(size_of(db), -1, 1, 2)),
                            Constant::from<float>(dc, random_floats(size_of(dc), -1, 1, 3))};
    auto at = [&](const Constant& c, int64_t linear) {
      const Dims strides = strides_of(c.dims);
      int64_t offset = 0;
      for (size_t i = out.size(); i-- > 0;) {
        const int64_t index = linear % out[i];
        linear /= out[i];
        const size_t missing = out.size() - c.dims.size();
        if (i >= missing && c.dims[i - missing] != 1) offset += index * strides[i - missing];
      }
      return c.as<float>()[offset];
    };
    for (Isa isa : isas()) {
      const Constant y = run(p, {in[0], in[1], in[2]}, out, isa)[0];
      for (int64_t i = 0; i < y.size(); ++i)
        ASSERT_EQ(y.as<float>()[i], (at(in[0], i) - at(in[1], i)) * at(in[2], i)) << to_string(da) << to_string(db) << to_string(dc) << i;
    }
  }
}

TEST(PointwiseKernels, ConversionsMatchTheScalarTypes) {
  std::vector<float> x = random_floats(500, -70000, 70000, 5);
  for (float s : {0.f, -0.f, 1e-7f, 6e-8f, 5.9e-5f, 65504.f, 65520.f, 1e30f, -1e30f, INFINITY, NAN, 2049.f, 2051.f}) x.push_back(s);
  const auto n = static_cast<int64_t>(x.size());
  const PointwiseProgram p = parse("in f32; cast:f16 $0; cast:bf16 $0; cast:f32 %0; out f16:%0,bf16:%1,f32:%2");
  for (Isa isa : isas()) {
    const auto y = run(p, {Constant::from<float>({n}, x)}, {n}, isa);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(y[0].as<uint16_t>()[i] & (std::isnan(x[i]) ? 0x7c00 : 0xffff), float16(x[i]).bits & (std::isnan(x[i]) ? 0x7c00 : 0xffff)) << x[i];
      EXPECT_EQ(y[1].as<uint16_t>()[i], bfloat16(x[i]).bits) << x[i];
      if (!std::isnan(x[i])) {
        EXPECT_EQ(y[2].as<float>()[i], float(float16(x[i])));
      }
    }
    // Back, every pattern of f16.
    std::vector<float16> halves(65536);
    for (size_t i = 0; i < halves.size(); ++i) halves[i].bits = static_cast<uint16_t>(i);
    const Constant wide = run(parse("in f16; cast:f32 $0; out f32:%0"), {Constant::from<float16>({65536}, halves)}, {65536}, isa)[0];
    for (size_t i = 0; i < halves.size(); ++i) {
      const float want = halves[i], got = wide.as<float>()[i];
      ASSERT_TRUE(want == got || (std::isnan(want) && std::isnan(got))) << i;
    }
  }
  const PointwiseProgram ints = parse("in f32,i64; cast:i32 $0; cast:u8 %0; cast:i32 $1; cast:f32 $1; cast:bool $1; out i32:%0,u8:%1,i32:%2,f32:%3,bool:%4");
  for (Isa isa : isas()) {
    const auto y = run(ints, {Constant::from<float>({4}, {1.9f, -1.9f, 257.f, NAN}), Constant::from<int64_t>({4}, {0, -3, (int64_t{1} << 32) + 5, 7})}, {4}, isa);
    const int32_t truncated[] = {1, -1, 257, 0}, low[] = {0, -3, 5, 7};
    const uint8_t bytes[] = {1, 255, 1, 0}, truth[] = {0, 1, 1, 1};
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(y[0].as<int32_t>()[i], truncated[i]);
      EXPECT_EQ(y[1].as<uint8_t>()[i], bytes[i]);
      EXPECT_EQ(y[2].as<int32_t>()[i], low[i]);
      EXPECT_EQ(y[4].as<uint8_t>()[i], truth[i]);
    }
    EXPECT_EQ(y[3].as<float>()[2], 4294967301.f);
  }
}

// Registers are shared by results of several widths: a program gives the same whether its intermediate results are kept or not.
TEST(PointwiseKernels, RandomProgramsOfMixedWidths) {
  std::mt19937 rng(7);
  const auto draw = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  const DType types[] = {DType::kF32, DType::kI32, DType::kI64, DType::kBool};
  for (int round = 0; round < 300; ++round) {
    PointwiseProgram p;
    std::vector<std::pair<PointwiseOperand, DType>> values;
    for (DType type : types) values.emplace_back(p.add_input(type), type);
    const auto pick = [&](DType type) {  // one of this type, late ones rather than early ones
      PointwiseOperand found = values[0].first;
      for (const auto& [operand, dtype] : values)
        if (dtype == type && (operand.kind == PointwiseOperand::kInput || draw(3) != 0)) found = operand;
      return found;
    };
    std::vector<std::pair<PointwiseOperand, DType>> results;
    for (int i = 0; i < static_cast<int>(PointwiseProgram::kMaxOutputs); ++i) {
      const DType number = types[draw(3)], any = types[draw(4)];
      const int what = draw(4);
      if (what == 0)
        results.emplace_back(p.add(PointwiseOp::kAdd, pick(number), pick(number)), number);
      else if (what == 1)
        results.emplace_back(p.add(PointwiseOp::kLess, pick(number), pick(number)), DType::kBool);
      else if (what == 2)
        results.emplace_back(p.add(PointwiseOp::kWhere, pick(DType::kBool), pick(number), pick(number)), number);
      else
        results.emplace_back(p.add_cast(any, values.back().first), any);
      values.push_back(results.back());
    }
    PointwiseProgram kept = p;
    p.add_output(results.back().second, results.back().first);
    for (const auto& [operand, dtype] : results) kept.add_output(dtype, operand);
    ASSERT_TRUE(p.verify().ok() && kept.verify().ok()) << kept.str();
    for (int64_t n : {3, 37, 1000}) {
      std::vector<float> f(static_cast<size_t>(n));
      std::vector<int32_t> i32(f.size());
      std::vector<int64_t> i64(f.size());
      std::vector<uint8_t> b(f.size());
      for (size_t i = 0; i < f.size(); ++i) f[i] = static_cast<float>(draw(9) - 4), i32[i] = draw(9) - 4, i64[i] = draw(9) - 4, b[i] = static_cast<uint8_t>(draw(2));
      const std::vector<Constant> in = {Constant::from<float>({n}, f), Constant::from<int32_t>({n}, i32), Constant::from<int64_t>({n}, i64),
                                        Constant::copy_of(DType::kBool, {n}, b.data())};
      const Constant want = run(kept, in, {n}, Isa::kScalar).back();
      for (Isa isa : isas()) {
        const Constant got = run(p, in, {n}, isa)[0];
        ASSERT_EQ(std::memcmp(got.data, want.data, static_cast<size_t>(n) * dtype_size(got.dtype)), 0) << p.str() << " on " << n;
      }
    }
  }
}

TEST(PointwiseKernels, LogicAndWhere) {
  const PointwiseProgram p = parse("in f32,f32,bool,i64; less $0,$1; and %0,$2; not %1; where %1,$0,$1; where %2,$3,$3; xor %1,%2; out bool:%1,f32:%3,i64:%4,bool:%5");
  const uint8_t mask[] = {1, 0, 255};
  for (Isa isa : isas()) {
    const auto y = run(p, {Constant::from<float>({3}, {1, 2, 3}), Constant::from<float>({3}, {2, 3, 1}), Constant::copy_of(DType::kBool, {3}, mask),
                           Constant::from<int64_t>({3}, {5, 6, 7})}, {3}, isa);
    EXPECT_EQ(y[0].as<uint8_t>()[0], 1);
    EXPECT_EQ(y[0].as<uint8_t>()[1], 0);
    EXPECT_EQ(y[1].as<float>()[0], 1);
    EXPECT_EQ(y[1].as<float>()[1], 3);
    EXPECT_EQ(y[2].as<int64_t>()[2], 7);
    EXPECT_EQ(y[3].as<uint8_t>()[0] + y[3].as<uint8_t>()[1] + y[3].as<uint8_t>()[2], 3);
  }
}

// The first output may be written while the input that shares its memory is still needed.
TEST(PointwiseKernels, InPlace) {
  const PointwiseProgram p = parse("in f32; neg $0; mul $0,$0; out f32:%0,f32:%1");
  for (Isa isa : isas()) {
    std::vector<float> x = random_floats(5000, -1, 1, 1), square(5000);
    const std::vector<float> before = x;
    const Dims dims{5000};
    const PointwiseInput in{x.data(), &dims};
    const PointwiseResult out[] = {x.data(), square.data()};
    ASSERT_TRUE(run_pointwise(p, {&in, 1}, out, dims, pool(), isa).ok());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(x[i], -before[i]);
      ASSERT_EQ(square[i], before[i] * before[i]);
    }
  }
}

TEST(PointwiseKernels, Rows) {
  const PointwiseProgram p = parse("in f32,f32,f32,f32; imm f32:0.5; add $0,$1; mul %0,$2; add %1,$3; mul %2,#0; relu %3; out f32:%4");
  const int64_t rows = 5, cols = 83, ld = 100;
  for (Isa isa : isas()) {
    std::vector<float> c = random_floats(rows * ld, -1, 1, 1), bias = random_floats(cols, -1, 1, 2), per_row = random_floats(rows, -1, 1, 3),
                       residual = random_floats(rows * ld, -1, 1, 4);
    const std::vector<float> before = c;
    const PointwiseBlock in[] = {{c.data(), ld, 1}, {bias.data(), 0, 1}, {per_row.data(), 1, 0}, {residual.data(), ld, 1}};
    const PointwiseBlock out{c.data(), ld, 1};
    run_pointwise_rows(p, in, &out, rows, cols, pointwise_table(isa));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < ld; ++j) {
        const auto i = static_cast<size_t>(r * ld + j);
        const float want = j < cols ? std::max(0.f, ((before[i] + bias[static_cast<size_t>(j)]) * per_row[static_cast<size_t>(r)] + residual[i]) * 0.5f) : before[i];
        ASSERT_NEAR(c[i], want, 1e-6f);
      }
  }
}

TEST(PointwiseProgram, TextIsLossless) {
  for (const char* text : {"in f32,f32; add $0,$1; out f32:%0", "in f16; imm f32:0.1,i64:-7,bool:1; leaky_relu $0,=0.2; selu %0,=1.5,=2; cast:bf16 %1; out bf16:%2,f32:#0",
                           "in i32,i64; cast:i64 $0; mod %0,$1,=1; equal %1,$1; out bool:%2"}) {
    const PointwiseProgram p = parse(text);
    EXPECT_EQ(p.str(), text);
    EXPECT_EQ(parse(p.str()).str(), p.str());
  }
}

TEST(PointwiseProgram, RefusesWhatIsWrong) {
  for (const char* text : {"", "in f32", "in f32; out f32:%0", "in f32; add $0,$1; out f32:%0", "in f32; add $0; out f32:%0", "in f32; relu %0; out f32:%0",
                           "in f32; relu $0; out f16", "in f32; relu $0; out i32:%0", "in f64; relu $0; out f64:%0", "in f32,i32; add $0,$1; out f32:%0",
                           "in f32; nothing $0; out f32:%0", "in f32; relu $99999999; out f32:%0", "in i32; exp $0; out i32:%0", "in f32; where $0,$0,$0; out f32:%0",
                           "in f32; relu $-1; out f32:%0", "in f32; relu $0,$0; out f32:%0", "imm f16:1; relu #0; out f32:%0", "in f32; relu $0,=x; out f32:%0",
                           "in f32; cast:string $0; out string:%0"})
    EXPECT_FALSE(PointwiseProgram::parse(text).ok()) << text;
  std::string deep = "in f32; relu $0";
  for (int i = 0; i < 300; ++i) deep += "; relu %" + std::to_string(i);
  EXPECT_FALSE(PointwiseProgram::parse(deep + "; out f32:%5").ok());
  // More live values than registers.
  std::string wide = "in f32";
  for (int i = 0; i < 170; ++i) wide += "; relu $0";
  for (int i = 0; i < 80; ++i) wide += "; add %" + std::to_string(i) + ",%" + std::to_string(i + 80);
  EXPECT_FALSE(PointwiseProgram::parse(wide + "; out f32:%249").ok());
  std::mt19937 rng(1);
  const std::string valid = "in f32,f32; imm f32:0.5; add $0,$1; leaky_relu %0,=0.1; where %1,#0,$0; cast:f16 %1; out f16:%3";
  for (int i = 0; i < 20000; ++i) {
    std::string text = valid;
    for (int k = 0; k < 3; ++k) text[rng() % text.size()] = static_cast<char>(32 + rng() % 95);
    if (auto p = PointwiseProgram::parse(text)) {
      EXPECT_LE(p->slots(), PointwiseProgram::kMaxSlots);
    }
  }
}

// Rows that lie apart, in operands and results, short and long; what lies between the rows of a result stays as it is.
TEST(PointwiseKernels, RowsThatLieApart) {
  const PointwiseProgram p = parse("in f32,f32,f32; mul $0,$1; add %0,$2; neg %0; out f32:%1,f32:%2");
  constexpr int64_t kPixels = 12, kGap = 5;
  for (Isa isa : isas())
    for (const int64_t columns : {2, 7, 40, 600, 5000})
      for (const bool apart : {false, true}) {
        const int64_t pitch = columns + kGap;
        const Dims dims{3, 4, columns}, gate{3, 1, columns}, vector{columns};
        const auto x = random_floats(kPixels * pitch, -1, 1, 1), g = random_floats(3 * pitch, -1, 1, 2), v = random_floats(columns, -1, 1, 3);
        std::vector<float> y(static_cast<size_t>(kPixels * pitch), 7.f), z(static_cast<size_t>(kPixels * columns), 7.f);
        const PointwiseInput in[] = {{x.data(), &dims, pitch}, {g.data(), &gate, pitch}, {v.data(), &vector}};
        const PointwiseResult out[] = {{y.data(), apart ? pitch : 0}, z.data()};
        const Status status = run_pointwise(p, in, out, dims, pool(), isa);
        ASSERT_TRUE(status.ok()) << status.message();
        const int64_t step = apart ? pitch : columns;
        for (int64_t i = 0; i < kPixels; ++i) {
          for (int64_t c = 0; c < columns; ++c) {
            const float product = x[size_t(i * pitch + c)] * g[size_t(i / 4 * pitch + c)];
            ASSERT_NEAR(y[size_t(i * step + c)], product + v[size_t(c)], 1e-6) << columns << " " << i << " " << c;
            ASSERT_EQ(z[size_t(i * columns + c)], -product);
          }
          for (int64_t c = columns; c < step; ++c) ASSERT_EQ(y[size_t(i * step + c)], 7.f);
        }
      }
  const Dims narrow{4, 1};
  float x[16] = {}, y[16];
  const PointwiseInput in[] = {{x, &narrow}, {x, &narrow}, {x, &narrow}};
  const PointwiseResult out[] = {{y, 3}, y};
  EXPECT_FALSE(run_pointwise(p, in, out, narrow, pool()).ok()) << "rows of one element";
}

TEST(PointwiseKernels, RefusesShapesThatDoNotBroadcast) {
  const PointwiseProgram p = parse("in f32,f32; add $0,$1; out f32:%0");
  float x[6] = {}, y[6];
  const Dims a{2, 3}, b{2}, c{1, 2, 3};
  const PointwiseResult out[] = {y};
  const PointwiseInput wrong[] = {{x, &a}, {x, &b}}, deep[] = {{x, &a}, {x, &c}};
  EXPECT_FALSE(run_pointwise(p, wrong, out, a, pool()).ok());
  EXPECT_FALSE(run_pointwise(p, deep, out, a, pool()).ok());
  EXPECT_FALSE(run_pointwise(p, {wrong, 1}, out, a, pool()).ok());
}

}  // namespace
}  // namespace carnot::cpu
