// SPDX-License-Identifier: Apache-2.0
// The engine of one model version and its sessions: runs one request or several together, and hands each its part of
// the outputs. Knows no queue.
#pragma once
#include <span>

#include "carnot/carnot.hpp"
#include "core/signature.hpp"
#include "core/statistics.hpp"

namespace carnot::serve {

// A session with the memory that gathers a batch. Used by one thread at a time.
class Instance {
 public:
  Instance(const Engine& engine, int threads) : session_(engine, {.threads = threads}) {}

 private:
  friend class Runner;
  Session session_;
  std::vector<std::vector<std::byte>> gathered_;  // by input
  std::vector<std::vector<int64_t>> shapes_;      // by input, as bound
  std::vector<bool> bound_;                       // by output: written where the request wants it
};

class Runner : public Signature {
 public:
  // `config` has been completed with this engine. Inputs and outputs that it does not name are hidden: Job::hidden has
  // them, in the engine's order.
  Runner(Engine engine, const inference::ModelConfig& config);

  std::string report() const override { return engine_.describe_json(); }
  const std::vector<IoSpec>& hidden_inputs() const { return hidden_inputs_; }
  const std::vector<IoSpec>& hidden_outputs() const { return hidden_outputs_; }
  std::unique_ptr<Instance> make_instance(int threads) const { return std::make_unique<Instance>(engine_, threads); }

  // Runs the jobs as one batch and calls done() of each. A batch that the engine refuses is run again one by one, so
  // that one wrong request harms no other.
  void run(Instance& instance, std::span<const std::unique_ptr<Job>> jobs, int64_t version,
           Statistics& statistics) const;

 private:
  MaybeFault bind(Instance& instance, std::span<const std::unique_ptr<Job>> jobs, int64_t batch) const;
  MaybeFault bind_input(Instance& instance, size_t index, std::span<const std::unique_ptr<Job>> jobs,
                        int64_t batch) const;
  void bind_targets(Instance& instance, const Job& job) const;
  void unbind_targets(Instance& instance) const;
  MaybeFault collect(Instance& instance, int64_t batch, std::vector<carnot_tensor>* outputs) const;
  MaybeFault reply_to(Job& job, const std::vector<carnot_tensor>& outputs, int64_t first, int64_t batch,
                      InferReply* reply) const;
  void keep_hidden(Job& job, const std::vector<carnot_tensor>& outputs, int64_t first, int64_t batch) const;

  Engine engine_;
  std::vector<IoSpec> hidden_inputs_, hidden_outputs_;
};

}  // namespace carnot::serve
