// SPDX-License-Identifier: Apache-2.0
// libtriton_carnot.so as a server drives it, without one.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "carnot/network.hpp"
#include "fake_host.hpp"

extern "C" int fake_driver_copies, fake_driver_fails;

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

template <typename T>
std::vector<T> values(const fake::Output& output) {
  std::vector<T> v(output.data.size() / sizeof(T));
  std::memcpy(v.data(), output.data.data(), output.data.size());
  return v;
}

std::vector<float> ramp(size_t n, float first) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = first + static_cast<float>(i);
  return v;
}

class TritonBackend : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / "carnot-triton-XXXXXX").string();
    ASSERT_TRUE(mkdtemp(folder_.data()));
    fs::create_directories(folder_ + "/1");
    fake::server() = {};
    ASSERT_FALSE(backend_.initialize());
    model_.folder = folder_;
    instance_.model = &model_;
  }
  void TearDown() override {
    if (instance_.state) {
      EXPECT_FALSE(backend_.stop(instance_));
    }
    EXPECT_FALSE(backend_.unload(model_));
    EXPECT_FALSE(backend_.finalize());
    EXPECT_EQ(fake::server().live_errors, 0);
    EXPECT_EQ(fake::server().live_messages, 0);
    EXPECT_EQ(fake::server().live_responses, 0);
    fs::remove_all(folder_);
  }

  // y = 2 x and z = -x, FP32 [batch, n].
  void write_engine() {
    carnot::Network net;
    const carnot::Value x = net.input("x", CARNOT_F32, {"batch", "n"});
    net.output(net.add("add", {x, x}), "y");
    net.output(net.add("neg", {x}), "z");
    net.build_to_file(folder_ + "/1/model.engine");
  }
  void start(const std::string& config = "{}") {
    write_engine();
    model_.config = config;
    if (const auto error = backend_.load(model_)) FAIL() << error->text;
    if (const auto error = backend_.start(instance_)) FAIL() << error->text;
  }
  std::string refusal(const std::string& config, bool auto_complete = true) {
    write_engine();
    model_.config = config;
    model_.auto_complete = auto_complete;
    const auto error = backend_.load(model_);
    return error ? error->text : "";
  }
  static fake::Request request(int64_t batch, int64_t n, float first) {
    fake::Request r;
    r.add("x", TRITONSERVER_TYPE_FP32, {batch, n}, ramp(static_cast<size_t>(batch * n), first));
    r.outputs = {"y", "z"};
    return r;
  }
  static void expect_answer(const fake::Request& r, int64_t batch, int64_t n, float first) {
    const fake::Answer& a = r.answer;
    ASSERT_FALSE(a.error) << a.error->text;
    EXPECT_TRUE(a.released);
    EXPECT_EQ(a.responses, 1);
    EXPECT_EQ(a.counted_success, 1);
    EXPECT_EQ(a.counted_failure, 0);
    EXPECT_TRUE(a.ordered_times);
    auto twice = ramp(static_cast<size_t>(batch * n), first), negative = twice;
    for (float& v : twice) v *= 2;
    for (float& v : negative) v = -v;
    ASSERT_EQ(a.outputs.size(), 2u);
    EXPECT_EQ(a.output("y").shape, (std::vector<int64_t>{batch, n}));
    EXPECT_EQ(a.output("y").type, TRITONSERVER_TYPE_FP32);
    EXPECT_EQ(values<float>(a.output("y")), twice);
    EXPECT_EQ(values<float>(a.output("z")), negative);
  }
  static void expect_refusal(const fake::Request& r, TRITONSERVER_Error_Code code, const std::string& text) {
    ASSERT_TRUE(r.answer.error);
    EXPECT_EQ(r.answer.error->code, code) << r.answer.error->text;
    EXPECT_NE(r.answer.error->text.find(text), std::string::npos) << r.answer.error->text;
    EXPECT_TRUE(r.answer.released);
    EXPECT_EQ(r.answer.responses, 1);
    EXPECT_EQ(r.answer.counted_success, 0);
    EXPECT_EQ(r.answer.counted_failure, 1);
    EXPECT_TRUE(r.answer.ordered_times);
  }

  fake::Backend backend_{CARNOT_TRITON_BACKEND};
  std::string folder_;
  fake::Model model_;
  fake::Instance instance_;
};

TEST_F(TritonBackend, CompletesTheConfiguration) {
  start();
  EXPECT_TRUE(model_.config_was_set);
  const json config = json::parse(model_.config);
  EXPECT_EQ(config["max_batch_size"], 4);
  EXPECT_TRUE(config.contains("dynamic_batching"));
  EXPECT_EQ(config["input"], json::parse(R"([{"name":"x","data_type":"TYPE_FP32","dims":[-1]}])"));
  EXPECT_EQ(config["output"][0], json::parse(R"({"name":"y","data_type":"TYPE_FP32","dims":[-1]})"));
}

TEST_F(TritonBackend, LeavesACompleteConfigurationAlone) {
  start(R"({"max_batch_size":0,"input":[{"name":"x","data_type":"TYPE_FP32","dims":["-1","3"]}],
            "output":[{"name":"y","data_type":"TYPE_FP32","dims":[-1,3]},{"name":"z","data_type":"TYPE_FP32","dims":[-1,3]}]})");
  EXPECT_FALSE(model_.config_was_set);
  fake::Request r = request(2, 3, 1);
  ASSERT_FALSE(backend_.execute(instance_, {&r}));
  expect_answer(r, 2, 3, 1);
}

TEST_F(TritonBackend, NamesWhatDoesNotFitTheEngine) {
  EXPECT_NE(refusal(R"({"max_batch_size":8,"input":[{"name":"q","data_type":"TYPE_FP32","dims":[4]}]})")
                .find("config.pbtxt names the input 'q', the engine has 'x'"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"max_batch_size":8,"input":[{"name":"x","data_type":"TYPE_INT32","dims":[4]}]})")
                .find("config.pbtxt says TYPE_INT32, the engine has TYPE_FP32"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"max_batch_size":8,"input":[{"name":"x","data_type":"TYPE_FP32","dims":[4,4]}]})")
                .find("gives the shape [-1,4,4] (with the batch dim"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"max_batch_size":8})", false).find("lacks the input 'x'"), std::string::npos);
  EXPECT_NE(refusal(R"({"parameters":{"threads":{"string_value":"many"}}})").find("'threads'"), std::string::npos);
  EXPECT_NE(refusal(R"({"default_model_filename":"other.engine"})").find("has no file 'other.engine'"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"default_model_filename":"../1/model.engine"})").find("no plain file name"), std::string::npos);
  EXPECT_NE(refusal(R"({"model_transaction_policy":{"decoupled":true}})").find("decoupled must be false"),
            std::string::npos);
}

TEST_F(TritonBackend, RefusesWhatIsNoEngine) {
  const auto none = backend_.load(model_);
  ASSERT_TRUE(none);
  EXPECT_NE(none->text.find("has none of model.engine, model.carnot and model.onnx"), std::string::npos);
  std::ofstream(folder_ + "/1/model.engine") << "not an engine";
  const auto error = backend_.load(model_);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, TRITONSERVER_ERROR_INVALID_ARG);
  std::ofstream(folder_ + "/1/model.onnx") << "\xff\xff\xff";
  model_.config = R"({"default_model_filename":"model.onnx"})";
  const auto built = backend_.load(model_);
  ASSERT_TRUE(built);
  EXPECT_NE(built->text.find("cannot build an engine of 'model.onnx'"), std::string::npos) << built->text;
}

TEST_F(TritonBackend, RefusesAServerThatIsTooOld) {
  fake::server().api_minor = 18;
  const auto older = backend_.initialize();
  ASSERT_TRUE(older);
  EXPECT_NE(older->text.find("this server speaks version 1.18"), std::string::npos);
  fake::server().api_major = 2;
  EXPECT_TRUE(backend_.initialize());
}

TEST_F(TritonBackend, InstancesMayLoadSideBySide) {
  EXPECT_FALSE(backend_.attributes());
  EXPECT_TRUE(fake::server().parallel_loading);
}

TEST_F(TritonBackend, ManyRequestsAreOneRun) {
  start();
  fake::Request a = request(1, 5, 0), b = request(2, 5, 100), c = request(1, 5, 1000);
  ASSERT_FALSE(backend_.execute(instance_, {&a, &b, &c}));
  expect_answer(a, 1, 5, 0);
  expect_answer(b, 2, 5, 100);
  expect_answer(c, 1, 5, 1000);
  EXPECT_EQ(instance_.batches, std::vector<uint64_t>{4});
}

TEST_F(TritonBackend, RequestsOfOtherShapesRunInTurn) {
  start();
  fake::Request a = request(1, 5, 0), b = request(1, 7, 100), c = request(2, 5, 1000);
  ASSERT_FALSE(backend_.execute(instance_, {&a, &b, &c}));
  expect_answer(a, 1, 5, 0);
  expect_answer(b, 1, 7, 100);
  expect_answer(c, 2, 5, 1000);
  EXPECT_EQ(instance_.batches, (std::vector<uint64_t>{3, 1}));
}

TEST_F(TritonBackend, AnInputMayComeInPieces) {
  start();
  fake::Request a = request(2, 6, 0), b = request(1, 6, 50);
  // Cut where no element ends.
  fake::Input& x = a.inputs[0];
  const std::vector<std::byte> all = x.buffers[0].bytes;
  x.buffers = {fake::Buffer{{all.begin(), all.begin() + 10}}, fake::Buffer{},
               fake::Buffer{{all.begin() + 10, all.end()}}};
  ASSERT_FALSE(backend_.execute(instance_, {&a}));
  expect_answer(a, 2, 6, 0);
  a.answer = {};
  ASSERT_FALSE(backend_.execute(instance_, {&a, &b}));
  expect_answer(a, 2, 6, 0);
  expect_answer(b, 1, 6, 50);
}

TEST_F(TritonBackend, ABufferMayLieAnywhere) {
  start();
  fake::Request r = request(1, 4, 3);
  fake::Buffer& b = r.inputs[0].buffers[0];
  b.bytes.insert(b.bytes.begin(), std::byte{7});
  b.offset = 1;
  ASSERT_FALSE(backend_.execute(instance_, {&r}));
  expect_answer(r, 1, 4, 3);
}

TEST_F(TritonBackend, OutputsNobodyAskedForAreNotSent) {
  start();
  fake::Request r = request(1, 4, 3);
  r.outputs = {"z"};
  ASSERT_FALSE(backend_.execute(instance_, {&r}));
  ASSERT_EQ(r.answer.outputs.size(), 1u);
  EXPECT_EQ(r.answer.outputs[0].name, "z");
}

TEST_F(TritonBackend, EachRequestHasItsOwnError) {
  start();
  fake::Request good = request(1, 4, 1), cancelled = request(1, 4, 2), wrong = request(1, 4, 3),
                shorter = request(1, 4, 4), no_room = request(1, 4, 5), last = request(1, 4, 6),
                unknown = request(1, 4, 7), missing, nothing = request(0, 4, 0);
  cancelled.cancelled = true;
  wrong.inputs[0].type = TRITONSERVER_TYPE_INT32;
  shorter.inputs[0].buffers[0].bytes.resize(12);
  no_room.no_output_memory = true;
  unknown.outputs = {"w"};
  ASSERT_FALSE(backend_.execute(instance_,
                                {&good, &cancelled, &wrong, &shorter, &no_room, &last, &unknown, &missing, &nothing}));
  expect_answer(good, 1, 4, 1);
  expect_answer(last, 1, 4, 6);
  expect_refusal(cancelled, TRITONSERVER_ERROR_CANCELLED, "cancelled");
  expect_refusal(wrong, TRITONSERVER_ERROR_INVALID_ARG, "input 'x' of model 'm'");
  expect_refusal(shorter, TRITONSERVER_ERROR_INVALID_ARG, "has 12 bytes, its shape [1,4] takes 16");
  expect_refusal(no_room, TRITONSERVER_ERROR_UNAVAILABLE, "no memory");
  expect_refusal(unknown, TRITONSERVER_ERROR_INVALID_ARG, "output 'w'");
  expect_refusal(missing, TRITONSERVER_ERROR_INVALID_ARG, "unknown input x");
  expect_refusal(nothing, TRITONSERVER_ERROR_INVALID_ARG, "no batch");
}

TEST_F(TritonBackend, AFailedRunIsRepeatedOneByOne) {
  // Rows of a table by number: numbers out of range fail at run time alone.
  carnot::Network net;
  const carnot::Value i = net.input("i", CARNOT_I64, {"batch", 1});
  const std::vector<float> table = {10, 11, 12, 13};
  net.output(net.add("gather", {net.constant(table.data(), {4}), i}, {{"axis", 0}}), "row");
  net.build_to_file(folder_ + "/1/model.engine");
  ASSERT_FALSE(backend_.load(model_));
  ASSERT_FALSE(backend_.start(instance_));
  fake::Request a, b, c;
  for (auto [r, row] : {std::pair{&a, 2}, {&b, 99}, {&c, 3}}) {
    r->add("i", TRITONSERVER_TYPE_INT64, {1, 1}, std::vector<int64_t>{row});
    r->outputs = {"row"};
  }
  ASSERT_FALSE(backend_.execute(instance_, {&a, &b, &c}));
  EXPECT_EQ(values<float>(a.answer.output("row")), std::vector<float>{12});
  EXPECT_EQ(values<float>(c.answer.output("row")), std::vector<float>{13});
  expect_refusal(b, TRITONSERVER_ERROR_INVALID_ARG, "model 'm'");
  EXPECT_EQ(instance_.batches, (std::vector<uint64_t>{1, 1}));
}

TEST_F(TritonBackend, ScalarsAreWrittenAsOneElement) {
  carnot::Network net;
  const carnot::Value x = net.input("x", CARNOT_F32, {});
  net.output(net.add("add", {x, x}), "y");
  net.build_to_file(folder_ + "/1/model.engine");
  ASSERT_FALSE(backend_.load(model_));
  ASSERT_FALSE(backend_.start(instance_));
  EXPECT_EQ(json::parse(model_.config)["input"][0]["dims"], json({1}));
  fake::Request r;
  r.add("x", TRITONSERVER_TYPE_FP32, {1}, std::vector<float>{4});
  r.outputs = {"y"};
  ASSERT_FALSE(backend_.execute(instance_, {&r}));
  EXPECT_EQ(r.answer.output("y").shape, std::vector<int64_t>{1});
  EXPECT_EQ(values<float>(r.answer.output("y")), std::vector<float>{8});
}

TEST_F(TritonBackend, MemoryOfAGpuIsCopied) {
  start();
  fake::Request r = request(2, 4, 3), host = request(1, 4, 9);
  r.inputs[0].buffers[0].type = TRITONSERVER_MEMORY_GPU;
  r.output_memory = TRITONSERVER_MEMORY_GPU;
  fake_driver_copies = 0;
  ASSERT_FALSE(backend_.execute(instance_, {&r, &host}));
  expect_answer(r, 2, 4, 3);
  expect_answer(host, 1, 4, 9);
  EXPECT_EQ(fake_driver_copies, 3);
  r.answer = {};
  fake_driver_fails = 1;
  ASSERT_FALSE(backend_.execute(instance_, {&r}));
  fake_driver_fails = 0;
  expect_refusal(r, TRITONSERVER_ERROR_INTERNAL, "driver error 700");
}

// A field of a protobuf message: bytes, or a small number.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string field(int number, int value) { return {static_cast<char>(number << 3), static_cast<char>(value)}; }

// y = -x, FP32 [batch, 2], as an ONNX file.
std::string onnx_file() {
  const auto io = [](const char* name) {
    const std::string shape = field(1, field(2, "batch")) + field(1, field(1, 2));
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)));
  };
  const std::string node = field(1, "x") + field(2, "y") + field(4, "Neg");
  const std::string graph = field(1, node) + field(2, "g") + field(11, io("x")) + field(12, io("y"));
  return field(1, 8) + field(7, graph) + field(8, field(2, 17));
}

TEST_F(TritonBackend, OnnxFilesAreBuiltOnceAndKept) {
  fake::server().backend_config = R"({"cmdline":{"cache-directory":")" + folder_ + R"(/cache"}})";
  std::ofstream(folder_ + "/1/model.onnx", std::ios::binary) << onnx_file();
  const auto builds = [] {
    const auto& log = fake::server().log;
    return std::count_if(log.begin(), log.end(),
                         [](const std::string& line) { return line.starts_with("building an engine of"); });
  };
  if (const auto error = backend_.load(model_)) FAIL() << error->text;
  EXPECT_EQ(builds(), 1);
  ASSERT_FALSE(backend_.unload(model_));
  model_.state = nullptr;
  ASSERT_FALSE(backend_.load(model_));
  EXPECT_EQ(builds(), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ + "/cache"), {}), 1);
  ASSERT_FALSE(backend_.start(instance_));
  fake::Request r;
  r.add("x", TRITONSERVER_TYPE_FP32, {1, 2}, std::vector<float>{3, 4});
  r.outputs = {"y"};
  ASSERT_FALSE(backend_.execute(instance_, {&r}));
  EXPECT_EQ(values<float>(r.answer.output("y")), (std::vector<float>{-3, -4}));
}

}  // namespace
