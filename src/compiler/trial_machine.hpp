// SPDX-License-Identifier: Apache-2.0
// Runs candidates of one problem for their times, on the machine that the engine is for. The tuner (tune.hpp) decides what runs how
// often; behind this contract lies how it runs on a device, and tests put times of their own here.
#pragma once
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tactics/tactic.hpp"

namespace carnot::compiler {

// Where the weights are when a command of a real run begins: a network that is larger than the last cache finds them in memory.
enum class Weights { kCached, kCold };

// Candidates of one problem, on operands of their own.
class TrialBench {
 public:
  virtual ~TrialBench() = default;
  // Gets the next number, from 0 on. An error means that the candidate cannot run here.
  virtual Status add(const tactics::Candidate& candidate) = 0;
  // Nanoseconds of one run, in a state of the caches like that in the middle of a network.
  virtual Result<double> run(size_t candidate) = 0;
  // How far the results of a candidate lie from those of candidate 0, relative to their range.
  virtual Result<double> difference(size_t candidate) = 0;
};

class TrialMachine {
 public:
  virtual ~TrialMachine() = default;
  // Everything but the problem that times depend on, in one line.
  virtual std::string key() const = 0;
  // Whether weights of so many bytes in all stay in a cache from run to run.
  virtual Weights weights(size_t bytes) const = 0;
  virtual Result<std::unique_ptr<TrialBench>> bench(const tactics::Problem& problem, const tactics::Sizes& sizes, Weights weights) = 0;
};

// The CPU with so many threads (0: all).
Result<std::unique_ptr<TrialMachine>> open_cpu_machine(int threads);
// One of a backend: "cuda", 0.
Result<std::unique_ptr<TrialMachine>> open_device_machine(const std::string& kind, int ordinal);
// Of a build's device: "cpu", "cuda", "cuda:1". Null for an architecture without a device, as in "cuda:sm_90".
Result<std::unique_ptr<TrialMachine>> open_trial_machine(const std::string& device, int threads);

// For implementations: an operand of the problem, constants as they are, others random; absent ones are of no type.
Result<Constant> trial_operand(const ir::Value* v, const tactics::Sizes& sizes, std::mt19937& random);
// TrialBench::difference() of tensors on the host.
Result<double> trial_difference(const std::vector<Constant>& wanted, std::span<const TensorView> got);

// Carnot's version and a hash of the names and versions of tactics and kernels: times of another build say nothing.
std::string kernel_table_key();

}  // namespace carnot::compiler
