// SPDX-License-Identifier: Apache-2.0
#include "engines.hpp"

#include "compiler/check.hpp"
#include "compiler/compile.hpp"
#include "compiler/trial.hpp"
#include "ir/text.hpp"

namespace carnot::test {
namespace {

std::unique_ptr<ir::Graph> parsed(std::string_view text) {
  auto graph = ir::parse(text);
  CARNOT_CHECK(graph);  // the tests' own texts
  return std::move(*graph);
}

}  // namespace

Built::Built(std::string_view text, const std::string& target) {
  auto bytes = compiler::compile(parsed(text), {.device = target});
  EXPECT_TRUE(bytes) << bytes.error().message;
  if (!bytes) return;
  bytes_ = std::move(*bytes);
  EXPECT_EQ(carnot_engine_load_memory(bytes_.data(), bytes_.size(), &engine_), CARNOT_OK) << carnot_last_error();
}

Built::Built(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {
  EXPECT_EQ(carnot_engine_load_memory(bytes_.data(), bytes_.size(), &engine_), CARNOT_OK) << carnot_last_error();
}

int Built::commands(std::string_view prefix) const {
  const std::string text = describe(), wanted = fmt::format("\"kernel\":\"{}", prefix), spaced = fmt::format("\"kernel\": \"{}", prefix);
  int n = 0;
  for (const std::string& w : {wanted, spaced})
    for (size_t at = 0; (at = text.find(w, at)) != std::string::npos; ++at) ++n;
  return n;
}

std::vector<Constant> inputs_of(std::string_view text, const Sizes& sizes, uint32_t seed) {
  auto inputs = compiler::trial_inputs(*parsed(text), sizes, seed);
  EXPECT_TRUE(inputs) << inputs.error().message;
  return std::move(*inputs);
}

Sitting::Sitting(const Built& built, carnot_session_options options) {
  options.struct_size = sizeof(options);
  if (options.threads == 0) options.threads = 2;
  EXPECT_EQ(carnot_session_create(built.get(), &options, &session_), CARNOT_OK) << carnot_last_error();
  carnot_io io;
  for (size_t i = 0; i < carnot_engine_input_count(built.get()); ++i) {
    carnot_engine_input(built.get(), i, &io);
    input_names.push_back(io.name);
  }
  for (size_t i = 0; i < carnot_engine_output_count(built.get()); ++i) {
    carnot_engine_output(built.get(), i, &io);
    output_names.push_back(io.name);
  }
}

void Sitting::feed(const std::vector<Constant>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Constant& c = inputs[i];
    const carnot_tensor tensor{static_cast<carnot_dtype>(c.dtype), c.dims.size(), c.dims.data(), const_cast<void*>(c.data), c.bytes()};
    EXPECT_EQ(carnot_session_set_input(session_, input_names[i].c_str(), &tensor), CARNOT_OK) << carnot_last_error();
  }
}

std::vector<Constant> Sitting::outputs() const {
  std::vector<Constant> out;
  for (const std::string& name : output_names) {
    carnot_tensor t{};
    EXPECT_EQ(carnot_session_get_output(session_, name.c_str(), &t), CARNOT_OK) << carnot_last_error();
    out.push_back(Constant::copy_of(static_cast<DType>(t.dtype), Dims(t.dims, t.dims + t.rank), t.data));
  }
  return out;
}

std::vector<Constant> Sitting::answers(const std::vector<Constant>& inputs) {
  feed(inputs);
  EXPECT_EQ(run(), CARNOT_OK) << carnot_last_error();
  return outputs();
}

void expect_near(const std::vector<Constant>& got, const std::vector<Constant>& wanted, const std::string& where) {
  ASSERT_EQ(got.size(), wanted.size()) << where;
  for (size_t i = 0; i < got.size(); ++i) {
    const compiler::Difference d = compiler::compare_values(wanted[i].view(), got[i].view());
    EXPECT_TRUE(d.problem.empty()) << where << " output " << i << ": " << d.problem;
    EXPECT_LE(d.relative, is_float(wanted[i].dtype) ? 2e-5 : 0) << where << " output " << i;
  }
}

}  // namespace carnot::test
