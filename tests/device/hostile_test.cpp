// SPDX-License-Identifier: Apache-2.0
// Engines of a device that lie: about places, copies, code and kernels. Each is refused with a reason when it is read, when a session is
// made of it, or when it runs; never later, never by a crash.
#include <algorithm>

#include "compiler/compile.hpp"
#include "engine/reader.hpp"
#include "engine/writer.hpp"
#include "engines.hpp"
#include "graphs.hpp"
#include "ir/text.hpp"
#include "subject.hpp"

namespace carnot::test {
namespace {

using engine::Place;

constexpr char kGraph[] = R"(graph main(%x: f32[n,8], %i: i64[2]) {
  %w = constant f32[8] random {1}
  %e = exp %x : f32[n,8]
  %m = mul %e, %w : f32[n,8]
  %g = gather(axis=1) %m, %i : f32[n,2]
  return %m "m", %g "g"
})";

// Program, constants and code of a good engine, to be changed and written again.
struct Parts {
  engine::Program program;
  std::vector<std::byte> constants, code;

  engine::Plan& plan() { return program.plans[0]; }
  engine::Buffer& buffer(int32_t b) { return plan().buffers[static_cast<size_t>(b)]; }
  // The n-th command whose kernel begins so.
  engine::Command& command(std::string_view kernel, int n = 0) {
    for (engine::Command& c : plan().commands)
      if (c.kernel.starts_with(kernel) && n-- == 0) return c;
    ADD_FAILURE() << "no command " << kernel;
    return plan().commands[0];
  }
  Attr& parameter(engine::Command& c, std::string_view name) {
    for (auto& [key, value] : c.params)
      if (key == name) return value;
    return c.params.emplace_back(name, int64_t{0}).second;
  }
  Result<std::vector<std::byte>> bytes() const {
    return engine::write_bytes(program, {{0, constants.data(), constants.size()}}, code);
  }
};

Parts good() {
  auto graph = ir::parse(kGraph);
  auto bytes = compiler::compile(std::move(*graph), {.device = build_target()});
  EXPECT_TRUE(bytes) << bytes.error().message;
  auto image = engine::read_bytes(*bytes, nullptr);
  EXPECT_TRUE(image) << image.error().message;
  return {image->program, {image->constants.begin(), image->constants.end()}, {image->code.begin(), image->code.end()}};
}

enum Stage { kRead, kSession, kRun, kFine };
constexpr const char* kStages[] = {"reading", "making a session", "the run", "nothing"};

// What first refuses the engine, and what it says.
std::pair<Stage, std::string> refusal(const Parts& parts) {
  auto bytes = parts.bytes();
  if (!bytes) return {kRead, bytes.error().message};
  carnot_engine* engine = nullptr;
  if (carnot_engine_load_memory(bytes->data(), bytes->size(), &engine) != CARNOT_OK) return {kRead, carnot_last_error()};
  std::pair<Stage, std::string> out{kFine, ""};
  carnot_session* session = nullptr;
  if (carnot_session_create(engine, nullptr, &session) != CARNOT_OK) {
    out = {kSession, carnot_last_error()};
  } else {
    const auto inputs = inputs_of(kGraph, {{"n", 3}}, 1);
    for (size_t i = 0; i < inputs.size() && out.first == kFine; ++i) {
      const carnot_tensor t{static_cast<carnot_dtype>(inputs[i].dtype), inputs[i].dims.size(), inputs[i].dims.data(), const_cast<void*>(inputs[i].data), inputs[i].bytes()};
      if (carnot_session_set_input(session, i == 0 ? "x" : "i", &t) != CARNOT_OK) out = {kRun, carnot_last_error()};
    }
    for (int run = 0; run < 3 && out.first == kFine; ++run)
      if (carnot_session_run(session) != CARNOT_OK) out = {kRun, carnot_last_error()};
    carnot_session_release(session);
  }
  carnot_engine_release(engine);
  return out;
}

struct Lie {
  const char* name;
  Stage stage;
  void (*tell)(Parts&);
};

const Lie kLies[] = {
    {"an unknown place", kRead, [](Parts& p) { p.buffer(p.command("copy").outputs[0]).place = static_cast<Place>(7); }},
    {"an input on the device", kRead, [](Parts& p) { p.buffer(p.plan().inputs[0]).place = Place::kDevice; }},
    {"an output on the device", kRead, [](Parts& p) { p.plan().outputs[0] = p.command("cuda.").outputs[0]; }},
    {"a result of the device on the host", kRead, [](Parts& p) { p.buffer(p.command("cuda.").outputs[0]).place = Place::kHost; }},
    {"a device's command that reads the host", kRead, [](Parts& p) { p.command("cuda.").inputs[0] = p.plan().inputs[0]; }},
    {"a host's command that reads the device", kRead, [](Parts& p) { p.command("cuda.").kernel = "ref:exp"; }},
    {"a constant in the wrong place", kRead,
     [](Parts& p) {
       for (engine::Buffer& b : p.plan().buffers)
         if (b.kind == engine::BufferKind::kConstant) b.place = Place::kHost;
     }},
    {"a buffer of the device inside one of the host", kRead,
     [](Parts& p) {
       engine::Buffer inner = p.buffer(p.command("cuda.").outputs[0]);
       inner.alias = p.plan().outputs[0];
       p.plan().buffers.push_back(inner);
     }},
    {"places without a device", kRead, [](Parts& p) { p.program.target = "cpu"; }},
    {"a target that is a path", kRead, [](Parts& p) { p.program.target = "../../evil:sm_90"; }},
    {"a target that is long", kRead, [](Parts& p) { p.program.target = std::string(1000, 'a'); }},
    {"a copy of nothing", kRead, [](Parts& p) { p.command("copy").inputs[0] = -1; }},
    {"a copy of two", kRead, [](Parts& p) { p.command("copy").inputs.push_back(p.plan().inputs[1]); }},
    {"a copy to nowhere", kRead, [](Parts& p) { p.command("copy").outputs.clear(); }},
    {"a copy that changes the type", kRead, [](Parts& p) { p.buffer(p.command("copy").outputs[0]).dtype = DType::kF16; }},
    {"a copy with a body", kRead, [](Parts& p) { p.command("copy").bodies.push_back(0); }},
    {"a copy to a smaller tensor", kRun, [](Parts& p) { p.buffer(p.command("copy").outputs[0]).shape = {Dim(1)}; }},
    {"a copy to a larger tensor", kRun, [](Parts& p) { p.buffer(p.command("copy").outputs[0]).shape = {Dim(int64_t{1} << 20)}; }},
    {"a copy of what nobody wrote", kRead, [](Parts& p) { std::rotate(p.plan().commands.begin(), p.plan().commands.end() - 1, p.plan().commands.end()); }},
    {"code between the places", kRead, [](Parts& p) { p.program.code[0].offset += 8; }},
    {"code beyond the end", kRead, [](Parts& p) { p.program.code[0].offset = (p.code.size() + 64) / 64 * 64; }},
    {"code larger than the file", kRead, [](Parts& p) { p.program.code[0].size = uint64_t{1} << 40; }},
    {"code whose end wraps around", kRead, [](Parts& p) { p.program.code[0].offset = 64, p.program.code[0].size = ~uint64_t{0} - 32; }},
    {"a code section that is not there", kRead, [](Parts& p) { p.code.clear(); }},
    {"an index of code below 0", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "code") = int64_t{-1}; }},
    {"an index of code beyond the last", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "code") = static_cast<int64_t>(p.program.code.size()); }},
    {"an enormous index of code", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "code") = int64_t{1} << 62; }},
    {"an index of code that is a text", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "code") = std::string("0"); }},
    {"empty code", kSession, [](Parts& p) { p.program.code[0].size = 0; }},
    {"code that is noise", kSession, [](Parts& p) { std::fill(p.code.begin(), p.code.end(), std::byte{0x77}); }},
    {"a kernel nobody knows", kSession, [](Parts& p) { p.command("cuda.").kernel = "cuda.make_coffee"; }},
    {"an entry that the code does not have", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "entry") = std::string("main"); }},
    {"an operand too few", kSession, [](Parts& p) { p.command("cuda.").inputs.pop_back(); }},
    {"three hundred operands", kSession, [](Parts& p) { p.command("cuda.").inputs.resize(300, p.command("cuda.").inputs[0]); }},
    {"a scalar too many", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "scalars") = std::vector<std::string>(9, "1"); }},
    {"a block of a million threads", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "block") = std::vector<int64_t>{1000000, 1, 1}; }},
    {"a grid that is no expression", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "grid") = std::vector<std::string>{"1+", "1", "1"}; }},
    {"a grid nested without end", kSession, [](Parts& p) { p.parameter(p.command("cuda."), "grid") = std::vector<std::string>{std::string(100000, '('), "1", "1"}; }},
    {"a grid of operands that are not there", kRun, [](Parts& p) { p.parameter(p.command("cuda."), "grid") = std::vector<std::string>{"i40d0", "1", "1"}; }},
    {"a grid below 0", kRun, [](Parts& p) { p.parameter(p.command("cuda."), "grid") = std::vector<std::string>{"0-o0n", "1", "1"}; }},
    {"a grid beyond the device", kRun, [](Parts& p) { p.parameter(p.command("cuda."), "grid") = std::vector<std::string>{"1", "o0n*100000", "1"}; }},
    {"more shared memory than there is", kRun, [](Parts& p) { p.parameter(p.command("cuda."), "shared") = std::string("1000000000"); }},
    {"a result that fits in no memory", kRun, [](Parts& p) { p.buffer(p.command("cuda.").outputs[0]).shape = {Dim(int64_t{1} << 50)}; }},
};

TEST(Hostile, GoodEngineIsFine) {
  if (on_cpu()) GTEST_SKIP() << "engines of the CPU: tests/hostile";
  const auto [stage, message] = refusal(good());
  EXPECT_EQ(stage, kFine) << message;
}

TEST(Hostile, EveryLieIsRefusedInTime) {
  if (on_cpu()) GTEST_SKIP() << "engines of the CPU: tests/hostile";
  const Parts parts = good();
  for (const Lie& lie : kLies) {
    Parts changed = parts;
    lie.tell(changed);
    const auto [stage, message] = refusal(changed);
    EXPECT_LE(stage, lie.stage) << lie.name << ": refused by " << kStages[stage] << " instead of " << kStages[lie.stage] << ": " << message;
    EXPECT_TRUE(stage == kFine || !message.empty()) << lie.name;
  }
  // And the device is as it was.
  EXPECT_EQ(refusal(parts).first, kFine);
}

// Any single byte of the metadata may be anything, hashes repaired by writing: covered by the fuzzer. Here: truncation anywhere.
TEST(Hostile, TruncatedAnywhere) {
  if (on_cpu()) GTEST_SKIP() << "engines of the CPU: tests/hostile";
  const auto bytes = *good().bytes();
  for (size_t size = 0; size < bytes.size(); size += 37) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(engine::read_bytes(cut, nullptr)) << size;
  }
  for (size_t at = 64; at < bytes.size(); at += 101) {
    auto flipped = bytes;
    flipped[at] ^= std::byte{16};
    auto image = engine::read_bytes(flipped, nullptr);
    // Only bytes between sections may change unseen.
    if (image) EXPECT_EQ(bytes[at], std::byte{0}) << at;
  }
}

}  // namespace
}  // namespace carnot::test
