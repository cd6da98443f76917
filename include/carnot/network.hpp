// SPDX-License-Identifier: Apache-2.0
// The compiler's public side: networks described layer by layer, and ONNX files, become engines. Link libcarnot_compiler.so.
//
//   carnot::Network net;
//   carnot::Value x = net.input("x", CARNOT_F32, {"batch", 1, 8, 8});
//   x = net.relu(net.conv(x, net.constant(weights.data(), {16, 1, 3, 3}), {.pads = {1, 1, 1, 1}}));
//   x = net.softmax(net.linear(net.flatten(x), net.constant(w.data(), {1024, 10}), net.constant(b.data(), {10})));
//   net.output(x, "scores");
//   net.build_to_file("digits.engine");
//
// A layer is an operator of the vocabulary: add() makes any of them by name, the other functions are shorthands. Types and shapes
// are inferred as layers are added, over symbolic dims; a layer that does not fit is an Exception that names it. Weights are copied.
// A Network is used by one thread at a time. Values belong to their network and must not outlive it.
#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "carnot/carnot.hpp"

namespace carnot {

// A size: a number, or a name that stands for any ("batch").
class Extent {
 public:
  Extent(int64_t size) : size_(size) {}                    // NOLINT: {1, 3, 224} is a shape
  Extent(int size) : size_(size) {}                        // NOLINT
  Extent(const char* name) : name_(name) {}                // NOLINT
  Extent(std::string name) : name_(std::move(name)) {}     // NOLINT
  bool is_symbol() const { return !name_.empty(); }
  int64_t size() const { return size_; }
  const std::string& name() const { return name_; }

 private:
  int64_t size_ = 0;
  std::string name_;
};

// The value of an attribute.
class Attribute {
 public:
  using Storage = std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>, std::vector<std::string>, carnot_dtype>;
  Attribute(bool v) : value_(int64_t{v}) {}                        // NOLINT: attributes are written as plain values
  Attribute(int v) : value_(int64_t{v}) {}                         // NOLINT
  Attribute(int64_t v) : value_(v) {}                              // NOLINT
  Attribute(double v) : value_(v) {}                               // NOLINT
  Attribute(const char* v) : value_(std::string(v)) {}             // NOLINT
  Attribute(std::string v) : value_(std::move(v)) {}               // NOLINT
  Attribute(std::vector<int64_t> v) : value_(std::move(v)) {}      // NOLINT
  Attribute(std::vector<double> v) : value_(std::move(v)) {}       // NOLINT
  Attribute(std::vector<std::string> v) : value_(std::move(v)) {}  // NOLINT
  Attribute(carnot_dtype v) : value_(v) {}                         // NOLINT
  const Storage& storage() const { return value_; }

 private:
  Storage value_;
};
using Attributes = std::vector<std::pair<std::string, Attribute>>;

// Handle of a tensor in a network. An empty one stands for an optional operand that is left out.
class CARNOT_EXPORT Value {
 public:
  Value() = default;
  explicit operator bool() const { return handle_ != nullptr; }
  std::string name() const;
  carnot_dtype dtype() const;
  std::vector<std::string> shape() const;  // "batch", "4*seq+1", "224"
  size_t rank() const;

 private:
  friend class Network;
  explicit Value(void* handle) : handle_(handle) {}
  void* handle_ = nullptr;
};

// Sizes of an input: dims with min = max become fixed; opt is what kernels are chosen for; memory is reserved for max, and what lies outside
// min..max is refused.
struct ShapeProfile {
  std::vector<int64_t> min, opt, max;
};

// What the check of a build found, see BuildSettings::check.
struct CheckResult {
  struct Row {
    std::string name;           // of the output, or of the value in the source model
    std::string where, kernel;  // layers: nodes of the source model and the kernel that runs them
    double max_abs = 0;         // largest absolute error
    double relative = 0;        // the same relative to the value's range
    double cosine = 1;
    double tolerance = 0;  // of `relative`
    bool passed = false;
    std::string problem;  // not empty: cannot be compared, and why
  };
  bool passed = false;
  std::vector<Row> outputs, layers;
  std::string text;  // the report, readable
};

// What tuning did, see BuildSettings::effort.
struct TuneResult {
  size_t problems = 0;    // with more than one candidate; of them:
  size_t timed = 0;       //   timed in this build
  size_t cached = 0;      //   known from the timing cache
  size_t left = 0;        //   left to the heuristic
  size_t won = 0;         // where a timed candidate replaced the heuristic's
  size_t candidates = 0;  // that were run in this build
  double heuristic_ms = 0, chosen_ms = 0;  // estimates for one run of all commands that have times
  std::string text;  // the report, readable
};

struct BuildSettings {
  std::string device = "cpu";
  std::string precision = "fp32";                 // of the whole network: fp32, tf32, bf16 or fp16
  std::vector<std::string> layer_precision = {};  // "GLOB:TYPE" by name of a node or result, "op=Softmax:fp16"; the last that matches wins
  // heuristic: kernels are chosen without timing; tune: the likely candidates are timed on the device; exhaustive: all of them.
  std::string effort = "heuristic";
  std::map<std::string, ShapeProfile> shapes = {};  // by input; those not named keep their symbolic dims
  // Runs the engine and the reference, node by node, on the same random inputs; an engine that is out of tolerance is an Exception.
  bool check = false;
  double check_tolerance = 0;                              // relative to an output's range; 0: what fits the precision
  std::function<void(const CheckResult&)> on_check = {};  // gets the report, good or bad
  int threads = 0;                                         // of the runs that a build makes and is tuned for; 0: all cores
  std::string timing_cache = {};                           // file that keeps times from build to build; may be missing
  std::function<void(const TuneResult&)> on_tune = {};
  // Called between steps with the phase and the share that is done (0..1); false cancels.
  std::function<bool(std::string_view phase, double done)> progress = {};
};

struct ConvSettings {
  std::vector<int64_t> strides = {}, pads = {}, dilations = {};  // pads: before each axis, then behind each; empty: 1, 0, 1
  int64_t groups = 1;
  Value bias = {};
};
struct PoolSettings {
  std::vector<int64_t> strides = {}, pads = {};
  bool ceil_mode = false, count_include_pad = false;
};
struct LstmSettings {
  Value bias = {}, initial_h = {}, initial_c = {}, sequence_lens = {};
  std::string direction = "forward";
};

class CARNOT_EXPORT Network {
 public:
  explicit Network(const std::string& name = "main");
  ~Network();
  Network(Network&&) noexcept;
  Network& operator=(Network&&) noexcept;

  // ---- what goes in and out -------------------------------------------------------------------------------------------------
  Value input(const std::string& name, carnot_dtype dtype, const std::vector<Extent>& shape);
  Value constant(const TensorRef& data, const std::string& name = "");
  template <typename T>
  Value constant(const T* data, std::vector<int64_t> dims, const std::string& name = "") {
    return constant(tensor(data, std::move(dims)), name);
  }
  Value ints(const std::vector<int64_t>& values);  // a 1-d i64 constant: axes, shapes, sizes
  Value scalar(double value, carnot_dtype dtype = CARNOT_F32);
  void output(const Value& value, const std::string& name = "");
  void metadata(const std::string& key, const std::string& value);

  // ---- any layer ------------------------------------------------------------------------------------------------------------
  struct Options {
    std::string name = {};                  // of the layer, for messages and profiles
    size_t outputs = 1;
    std::vector<Network*> bodies = {};      // subgraphs of if, loop, scan (made by body()); they become part of this network
  };
  std::vector<Value> add_many(const std::string& op, const std::vector<Value>& inputs, const Attributes& attributes, const Options& options);
  Value add(const std::string& op, const std::vector<Value>& inputs, const Attributes& attributes = {}, const std::string& name = "");
  // A subgraph to be. What it needs of this network is handed over as operands (see the operators' pages).
  Network body(const std::string& name);

  // ---- shorthands -----------------------------------------------------------------------------------------------------------
  Value conv(const Value& x, const Value& weights, const ConvSettings& settings = {}, const std::string& name = "");
  Value conv_transpose(const Value& x, const Value& weights, const ConvSettings& settings = {}, const std::string& name = "");
  Value matmul(const Value& a, const Value& b, const std::string& name = "") { return add("matmul", {a, b}, {}, name); }
  // x @ weights [in, out] + bias [out]; x of any rank.
  Value linear(const Value& x, const Value& weights, const Value& bias = {}, const std::string& name = "");
  Value max_pool(const Value& x, const std::vector<int64_t>& kernel, const PoolSettings& settings = {}, const std::string& name = "");
  Value average_pool(const Value& x, const std::vector<int64_t>& kernel, const PoolSettings& settings = {}, const std::string& name = "");
  Value global_average_pool(const Value& x, const std::string& name = "") { return add("global_average_pool", {x}, {}, name); }
  Value batch_norm(const Value& x, const Value& scale, const Value& bias, const Value& mean, const Value& var, double epsilon = 1e-5, const std::string& name = "") {
    return add("batch_normalization", {x, scale, bias, mean, var}, {{"epsilon", epsilon}}, name);
  }
  Value layer_norm(const Value& x, const Value& scale, const Value& bias = {}, int64_t axis = -1, double epsilon = 1e-5, const std::string& name = "") {
    return add("layer_normalization", {x, scale, bias}, {{"axis", axis}, {"epsilon", epsilon}}, name);
  }
  Value softmax(const Value& x, int64_t axis = -1, const std::string& name = "") { return add("softmax", {x}, {{"axis", axis}}, name); }
  Value relu(const Value& x, const std::string& name = "") { return add("relu", {x}, {}, name); }
  Value sigmoid(const Value& x, const std::string& name = "") { return add("sigmoid", {x}, {}, name); }
  Value tanh(const Value& x, const std::string& name = "") { return add("tanh", {x}, {}, name); }
  Value gelu(const Value& x, const std::string& name = "") { return add("gelu", {x}, {}, name); }
  Value sum(const Value& a, const Value& b, const std::string& name = "") { return add("add", {a, b}, {}, name); }
  Value product(const Value& a, const Value& b, const std::string& name = "") { return add("mul", {a, b}, {}, name); }
  Value reshape(const Value& x, const std::vector<int64_t>& shape, const std::string& name = "") { return add("reshape", {x, ints(shape)}, {}, name); }
  Value flatten(const Value& x, int64_t axis = 1, const std::string& name = "") { return add("flatten", {x}, {{"axis", axis}}, name); }
  Value transpose(const Value& x, const std::vector<int64_t>& perm, const std::string& name = "") { return add("transpose", {x}, {{"perm", perm}}, name); }
  Value concat(const std::vector<Value>& values, int64_t axis, const std::string& name = "") { return add("concat", values, {{"axis", axis}}, name); }
  struct LstmOutputs {
    Value y, h, c;
  };
  // x [time, batch, in], w [directions, 4*hidden, in], r [directions, 4*hidden, hidden]; gates i, o, f, c.
  LstmOutputs lstm(const Value& x, const Value& w, const Value& r, const LstmSettings& settings = {}, const std::string& name = "");

  // ---- the result -----------------------------------------------------------------------------------------------------------
  // The engine's bytes. The network stays as it is and may be built again.
  std::vector<std::byte> build(const BuildSettings& settings = {}) const;
  void build_to_file(const std::string& path, const BuildSettings& settings = {}) const;
  std::string text() const;  // the graph, readable
  static std::vector<std::string> operators();

 private:
  struct Impl;
  explicit Network(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// An ONNX model as an engine.
CARNOT_EXPORT std::vector<std::byte> build_onnx(const std::string& path, const BuildSettings& settings = {});
CARNOT_EXPORT std::vector<std::byte> build_onnx(const void* bytes, size_t size, const BuildSettings& settings = {});
// Writes the bytes so that no half-written file is ever seen under this name.
CARNOT_EXPORT void write_engine(const std::string& path, const std::vector<std::byte>& bytes);

}  // namespace carnot
