// SPDX-License-Identifier: Apache-2.0
// Models behind one another as one model (ensemble_scheduling): a graph of steps whose edges are named tensors. A step
// runs as soon as its tensors are there, in its model's own queue and batches.
//
// Tensors between steps lie in memory of the request: a step whose output sizes are known before it runs writes there
// itself, and the next reads there. What only the client gets is answered from the last step's own memory.
#pragma once
#include <functional>

#include "core/repository.hpp"

namespace carnot::serve {

using FindModel = std::function<Or<std::shared_ptr<const ModelVersion>>(const std::string& name, int64_t version)>;

class Ensemble : public Target, public std::enable_shared_from_this<Ensemble> {
 public:
  // Checks the steps against the models, which must be loaded. The fault names the step, the model and the field.
  static Or<std::shared_ptr<Ensemble>> make(const inference::ModelConfig& config,
                                            std::shared_ptr<const Signature> signature, int64_t version, FindModel find,
                                            std::shared_ptr<Statistics> statistics);

  void submit(std::unique_ptr<Job> job, bool here) override;
  size_t pending() const override { return pending_; }

 private:
  friend class EnsembleRun;
  struct Step {
    std::string model;
    int64_t version = -1;
    // The model's name for a tensor, and which of ours it is.
    std::vector<std::pair<std::string, size_t>> inputs, outputs;
  };
  struct Tensor {
    std::string name;
    std::vector<size_t> readers;  // steps
    bool output = false;          // of the ensemble
  };

  Ensemble() = default;
  size_t tensor(const std::string& name);
  MaybeFault add_step(const inference::ModelEnsembling::Step& from, size_t index, const ModelVersion& member);
  MaybeFault check_order() const;

  std::shared_ptr<const Signature> signature_;
  int64_t version_ = 0;
  FindModel find_;
  std::shared_ptr<Statistics> statistics_;
  std::vector<Step> steps_;
  std::vector<Tensor> tensors_;  // first the ensemble's inputs, in the signature's order
  std::atomic<size_t> pending_{0};
};

// Refuses what an ensemble's configuration may not have; fills in what is absent.
MaybeFault complete_ensemble(inference::ModelConfig* config);

}  // namespace carnot::serve
