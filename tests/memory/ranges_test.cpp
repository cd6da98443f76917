// SPDX-License-Identifier: Apache-2.0
// Ranges of inputs: kept in the engine, memory reserved once, what lies outside refused, and readers that trust none of it.
#include <gtest/gtest.h>

#include <functional>

#include "compiler/compile.hpp"
#include "engine/writer.hpp"
#include "ir/text.hpp"
#include "runtime/frame.hpp"

namespace carnot {
namespace {

std::string numbers(size_t count) {
  std::string out = "0.01";
  for (size_t i = 1; i < count; ++i) out += i % 3 == 0 ? ", -0.02" : ", 0.03";
  return out;
}

// Values of several sizes that live together, and a reduction.
const std::string kText = R"(graph main(%x: f32[batch,3,h,w], %scale: f32[batch,1,1,1]) {
  %k = constant f32[8,3,3,3] {)" + numbers(216) + R"(}
  %k2 = constant f32[8,8,3,3] {)" + numbers(576) + R"(}
  %a = conv(pads=[1,1,1,1]) %x, %k : f32[batch,8,h,w]
  %b = conv(pads=[1,1,1,1]) %a, %k2 : f32[batch,8,h,w]
  %c = mul %a, %scale : f32[batch,8,h,w]
  %d = concat(axis=1) %b, %c : f32[batch,16,h,w]
  %e = softmax(axis=1) %d : f32[batch,16,h,w]
  %axes = constant i64[2] {2, 3}
  %f = reduce_mean %e, %axes : f32[batch,16,1,1]
  return %e, %f
})";

std::unique_ptr<ir::Graph> parsed(std::string_view text) {
  auto graph = ir::parse(text);
  EXPECT_TRUE(graph) << graph.error().message;
  return std::move(*graph);
}

const std::map<std::string, compiler::ShapeRange> kRange{{"x", {{1, 3, 16, 32}, {2, 3, 64, 64}, {4, 3, 128, 160}}}};

std::vector<std::byte> compiled(const std::map<std::string, compiler::ShapeRange>& shapes) {
  auto bytes = compiler::compile(parsed(kText), {.shapes = shapes});
  EXPECT_TRUE(bytes) << bytes.error().message;
  return bytes ? std::move(*bytes) : std::vector<std::byte>();
}

std::string refusal(const std::map<std::string, compiler::ShapeRange>& shapes) {
  auto bytes = compiler::compile(parsed(kText), {.shapes = shapes});
  return bytes ? "built" : bytes.error().message;
}

struct Running {
  std::vector<std::byte> bytes;
  runtime::Context context;
  std::unique_ptr<runtime::Frame> frame;

  explicit Running(std::vector<std::byte> engine, uint64_t limit = 0) : bytes(std::move(engine)) {
    auto image = engine::read_bytes(bytes, nullptr);
    EXPECT_TRUE(image) << image.error().message;
    context.engine = *runtime::LoadedEngine::create(std::move(*image));
    context.pool = shared_thread_pool(2);
    context.memory_limit = limit;
    frame = std::make_unique<runtime::Frame>(context, 0);
  }
  Status run(int64_t n, int64_t h, int64_t w) {
    Constant x = Constant::allocate(DType::kF32, {n, 3, h, w}), scale = Constant::allocate(DType::kF32, {n, 1, 1, 1});
    std::fill_n(static_cast<float*>(x.mutable_data()), x.size(), 1.f);
    std::fill_n(static_cast<float*>(scale.mutable_data()), scale.size(), 2.f);
    const std::vector<TensorView> views{x.view(), scale.view()};
    return frame->run(views, {}, {}, nullptr);
  }
};

void expect_has(const std::string& text, std::string_view part) { EXPECT_NE(text.find(part), std::string::npos) << text; }

TEST(Ranges, NoRunWithinTakesMoreMemory) {
  Running r(compiled(kRange));
  ASSERT_TRUE(r.frame->reserve());
  const uint64_t reserved = r.context.memory_used;
  EXPECT_GT(reserved, 4u * 3 * 64 * 80 * 4);
  for (int64_t n = 1; n <= 4; ++n)
    for (int64_t h = 16; h <= 128; h += 7)
      for (int64_t w = 32; w <= 160; w += 16) {
        const Status status = r.run(n, h, w);
        ASSERT_TRUE(status) << status.error().message;
        ASSERT_EQ(r.context.memory_used, reserved) << n << " " << h << " " << w;
      }
  EXPECT_TRUE(r.run(4, 128, 160));
  EXPECT_EQ(r.context.memory_used, reserved);
}

TEST(Ranges, SameResultsWithAndWithoutReservation) {
  Running ranged(compiled(kRange)), open(compiled({}));
  ASSERT_TRUE(ranged.frame->reserve());
  ASSERT_TRUE(open.frame->reserve());
  EXPECT_EQ(open.context.memory_used, 0u) << "nothing is reserved where sizes have no bounds";
  for (const auto& [n, h, w] : {std::tuple{1, 16, 32}, {4, 128, 160}, {3, 77, 101}, {1, 128, 32}, {4, 16, 160}}) {
    ASSERT_TRUE(ranged.run(n, h, w));
    ASSERT_TRUE(open.run(n, h, w));
    for (size_t i = 0; i < 2; ++i) {
      const TensorView &a = ranged.frame->output(i), &b = open.frame->output(i);
      ASSERT_EQ(a.dims, b.dims);
      EXPECT_EQ(std::memcmp(a.data, b.data, a.bytes()), 0) << n << " " << h << " " << w << " output " << i;
    }
  }
}

TEST(Ranges, OutsideIsRefusedWithTheRemedy) {
  Running r(compiled(kRange));
  const Status high = r.run(1, 200, 64);
  ASSERT_FALSE(high);
  EXPECT_EQ(high.error().message,
            "input 'x' is 200 in dimension 2 ('h'), the engine was built for 16 to 128; build it again with a wider range, --shape x:1x3x16x32..2x3x64x64..4x3x200x160");
  expect_has(r.run(1, 64, 8).error().message, "input 'x' is 8 in dimension 3 ('w'), the engine was built for 32 to 160");
  expect_has(r.run(5, 64, 64).error().message, "dimension 0 ('batch'), the engine was built for 1 to 4");
  EXPECT_TRUE(r.run(4, 64, 64));
}

TEST(Ranges, OneSymbolIsBoundedWhereverItStands) {
  Running r(compiled({{"scale", {{1, 1, 1, 1}, {1, 1, 1, 1}, {2, 1, 1, 1}}}}));
  const engine::Program& p = r.context.engine->program();
  ASSERT_TRUE(p.range_of(0) && p.range_of(1));
  EXPECT_EQ(to_string(*p.range_of(0)), "1x3x*x*..1x3x*x*..2x3x*x*") << "what stands without bounds is a star";
  EXPECT_FALSE(p.range_of(0)->bounded());
  ASSERT_TRUE(r.frame->reserve());
  EXPECT_EQ(r.context.memory_used, 0u);
  EXPECT_TRUE(r.run(2, 500, 33));
  expect_has(r.run(3, 64, 64).error().message, "input 'x' is 3 in dimension 0 ('batch'), the engine was built for 1 to 2; build it again with a wider range");
}

TEST(Ranges, FixedSizesNeedNone) {
  Running r(compiled({{"x", {{2, 3, 32, 32}, {2, 3, 32, 32}, {2, 3, 32, 32}}}}));
  EXPECT_EQ(r.context.engine->program().range_of(0), nullptr);
  ASSERT_TRUE(r.frame->reserve());
  EXPECT_TRUE(r.run(2, 32, 32));
}

TEST(Ranges, MistakesInThemAreNamed) {
  expect_has(refusal({{"y", {{1}, {1}, {1}}}}), "--shape names input 'y', but the model's inputs are 'x', 'scale'");
  expect_has(refusal({{"x", {{1, 3}, {1, 3}, {1, 3}}}}), "has rank 2");
  expect_has(refusal({{"x", {{4, 3, 32, 32}, {2, 3, 32, 32}, {4, 3, 32, 32}}}}), "dimension 0 needs 0 <= min <= opt <= max, got 4..2..4");
  expect_has(refusal({{"x", {{1, 1, 32, 32}, {1, 3, 32, 32}, {1, 3, 32, 32}}}}), "dimension 1 of the model is 3, the range is 1..3");
  auto two = kRange;
  two["scale"] = {{1, 1, 1, 1}, {1, 1, 1, 1}, {8, 1, 1, 1}};
  expect_has(refusal(two), "dimension 'batch' is given two sizes, 1..1..8 and 1..2..4");
}

TEST(Ranges, TooLargeForTheLimitIsSaidAtOnce) {
  Running r(compiled(kRange), 1 << 16);
  const Status status = r.frame->reserve();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kOutOfMemory);
  Running huge(compiled({{"x", {{1, 3, 16, 32}, {2, 3, 64, 64}, {4, 3, 1 << 30, 1 << 30}}}}));
  expect_has(huge.frame->reserve().error().message, "is too large");
}

TEST(Ranges, DamagedOnesAreRefused) {
  const std::vector<std::byte> good = compiled(kRange);
  const auto image = engine::read_bytes(good, nullptr);
  ASSERT_TRUE(image);
  const auto with = [&](const std::function<void(std::vector<engine::InputRange>&)>& change) {
    engine::Program p = image->program;
    change(p.input_ranges);
    const auto bytes = engine::write_bytes(p, std::vector<engine::ConstantPiece>{{0, image->constants.data(), image->constants.size()}});
    EXPECT_TRUE(bytes);
    const auto read = engine::read_bytes(*bytes, nullptr);
    return read ? std::string("read") : read.error().message;
  };
  EXPECT_EQ(with([](auto&) {}), "read");
  expect_has(with([](auto& r) { r[0].max.pop_back(); }), "another rank");
  expect_has(with([](auto& r) { r[0].min.push_back(1); }), "another rank");
  expect_has(with([](auto& r) { r[0].min[2] = -5; }), "is empty");
  expect_has(with([](auto& r) { r[0].opt[2] = r[0].max[2] + 1; }), "is empty");
  expect_has(with([](auto& r) { r[0].max[3] = -1; }), "is empty");
  expect_has(with([](auto& r) { r[0].max[1] = 4; }), "not that of its shape");
  expect_has(with([](auto& r) { r[1].max[0] = 9; }), "two ranges");
}

}  // namespace
}  // namespace carnot
