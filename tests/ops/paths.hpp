// SPDX-License-Identifier: Apache-2.0
// Ways of running one operator. Every text test runs through each path; the first is the reference, and the results of
// the others are compared with what the line expects or, where it says `reference`, with the reference's.
//
// A new path is one .cpp beside this file:
//   static const bool registered = carnot::test::add_path({"cpu", run_on_cpu});
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ops/operator.hpp"

namespace carnot::test {

struct PathInput {
  std::optional<Constant> tensor;  // none: optional operand left out
};

struct Path {
  std::string name;
  // wanted[i] false: output i is not asked for, its result may be none.
  std::function<Result<std::vector<std::optional<Constant>>>(
      const ops::Operator& op, const std::vector<PathInput>& inputs, const std::vector<bool>& wanted)>
      run;
  // Factor on the line's tolerance; not below 1.
  double slack = 1;
};

// What the paths that build engines build them for: "cpu", or a device ("cuda"). On a device each engine runs three times, so that its
// work is also recorded and replayed.
std::string& engine_device();
// Operators that ran, by where they did: "cuda" or "cpu".
std::map<std::string, std::set<std::string>>& ran_on();

bool add_path(Path path);
const std::vector<Path>& paths();

// infer with the inputs' concrete dims and data, then evaluate.
Result<std::vector<std::optional<Constant>>> run_reference(const ops::Operator& op,
                                                           const std::vector<PathInput>& inputs,
                                                           const std::vector<bool>& wanted);

}  // namespace carnot::test
