// SPDX-License-Identifier: Apache-2.0
// The engine of one model version and its sessions: checks requests against the configuration, runs one or several
// together, and hands each its part of the outputs. Knows no queue.
#pragma once
#include <span>

#include "carnot/carnot.hpp"
#include "core/statistics.hpp"
#include "model_config.pb.h"

namespace carnot::serve {

// One input or output, as the configuration shows it.
struct IoSpec {
  std::string name;
  const Datatype* type = nullptr;
  std::vector<int64_t> dims;  // without the batch dim
  bool reshaped = false;
  std::vector<int64_t> reshape;  // what the engine takes instead of dims
  bool scalar = false;           // the engine has no dims
  std::vector<std::string> labels;
};

// A session with the memory that gathers a batch. Used by one thread at a time.
class Instance {
 public:
  Instance(const Engine& engine, int threads) : session_(engine, {.threads = threads}) {}

 private:
  friend class Runner;
  Session session_;
  std::vector<std::vector<std::byte>> gathered_;  // by input
  std::vector<std::vector<int64_t>> shapes_;      // by input, as bound
};

class Runner {
 public:
  // `config` has been completed with this engine.
  Runner(Engine engine, const inference::ModelConfig& config);

  const std::vector<IoSpec>& inputs() const { return inputs_; }
  const std::vector<IoSpec>& outputs() const { return outputs_; }
  IoSpec& output(size_t i) { return outputs_[i]; }
  // What the engine says of its commands, kernels and memory, as JSON.
  std::string report() const { return engine_.describe_json(); }
  int64_t max_batch() const { return max_batch_; }
  const std::string& name() const { return name_; }
  std::unique_ptr<Instance> make_instance(int threads) const { return std::make_unique<Instance>(engine_, threads); }

  // Refuses a request that does not fit; else notes batch and order of inputs in the job.
  MaybeFault check(Job& job) const;
  // True if both may stand in one batch: the same shapes behind the batch dim.
  bool compatible(const Job& a, const Job& b) const;
  // Runs the jobs as one batch and calls done() of each. A batch that the engine refuses is run again one by one, so
  // that one wrong request harms no other.
  void run(Instance& instance, std::span<const std::unique_ptr<Job>> jobs, int64_t version,
           Statistics& statistics) const;

 private:
  MaybeFault check_input(const IoSpec& spec, const InputTensor& input, const std::string& id) const;
  MaybeFault bind(Instance& instance, std::span<const std::unique_ptr<Job>> jobs, int64_t batch) const;
  MaybeFault bind_input(Instance& instance, size_t index, std::span<const std::unique_ptr<Job>> jobs,
                        int64_t batch) const;
  MaybeFault collect(Instance& instance, int64_t batch, std::vector<carnot_tensor>* outputs) const;
  MaybeFault reply_to(Job& job, const std::vector<carnot_tensor>& outputs, int64_t first, int64_t batch,
                      InferReply* reply) const;

  std::string name_;
  Engine engine_;
  std::vector<IoSpec> inputs_, outputs_;
  int64_t max_batch_ = 0;
};

}  // namespace carnot::serve
