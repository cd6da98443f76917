// SPDX-License-Identifier: Apache-2.0
// Engines of one graph for the CPU and for the subject, and sessions of them through the C interface.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor.hpp"
#include "carnot/carnot.h"

namespace carnot::test {

using Sizes = std::map<std::string, int64_t, std::less<>>;

// An engine and the bytes that it lives on.
class Built {
 public:
  // `target`: "cpu", "cuda:sm_90".
  Built(std::string_view text, const std::string& target);
  explicit Built(std::vector<std::byte> bytes);
  ~Built() { carnot_engine_release(engine_); }
  Built(const Built&) = delete;
  const carnot_engine* get() const { return engine_; }
  std::string describe() const { return carnot_engine_describe_json(engine_); }
  // Commands of the network and its bodies whose kernel's name begins so.
  int commands(std::string_view prefix) const;

 private:
  std::vector<std::byte> bytes_;
  carnot_engine* engine_ = nullptr;
};

std::vector<Constant> inputs_of(std::string_view text, const Sizes& sizes, uint32_t seed);

class Sitting {
 public:
  explicit Sitting(const Built& built, carnot_session_options options = {});
  ~Sitting() { carnot_session_release(session_); }
  Sitting(const Sitting&) = delete;
  carnot_session* get() const { return session_; }
  // The inputs, in the engine's order, read in place.
  void feed(const std::vector<Constant>& inputs);
  carnot_status run() { return carnot_session_run(session_); }
  std::vector<Constant> outputs() const;
  // feed, run, outputs; failures are failures of the test.
  std::vector<Constant> answers(const std::vector<Constant>& inputs);
  std::vector<std::string> input_names, output_names;

 private:
  carnot_session* session_ = nullptr;
};

void expect_near(const std::vector<Constant>& got, const std::vector<Constant>& wanted, const std::string& where);

}  // namespace carnot::test
