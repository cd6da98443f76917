// SPDX-License-Identifier: Apache-2.0
#include "core/ensemble.hpp"

#include <algorithm>

#include "core/classification.hpp"

namespace carnot::serve {

// One request on its way through the steps.
class EnsembleRun : public std::enable_shared_from_this<EnsembleRun> {
 public:
  EnsembleRun(std::shared_ptr<Ensemble> ensemble, std::unique_ptr<Job> job,
              std::vector<std::shared_ptr<const ModelVersion>> members)
      : ensemble_(std::move(ensemble)), job_(std::move(job)), members_(std::move(members)) {
    ++ensemble_->pending_;
    const auto& inputs = ensemble_->signature_->inputs();
    tensors_.resize(ensemble_->tensors_.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      const InputTensor& in = job_->request.inputs[static_cast<size_t>(job_->order[i])];
      tensors_[i] = {.there = true, .type = in.type, .shape = in.shape, .data = in.data, .bytes = in.bytes};
    }
    for (const auto& step : ensemble_->steps_) {
      waits_.push_back(step.inputs.size());
      for (const auto& [name, t] : step.inputs) waits_.back() -= tensors_[t].there ? 1 : 0;
    }
    started_.assign(waits_.size(), false);
  }
  ~EnsembleRun() { --ensemble_->pending_; }

  // Starts every step that has what it needs.
  void advance(bool here) {
    std::vector<std::unique_ptr<Job>> ready;
    std::vector<size_t> steps;
    {
      std::lock_guard lock(mutex_);
      if (fault_) return;
      for (size_t s = 0; s < waits_.size(); ++s) {
        if (started_[s] || waits_[s] > 0) continue;
        started_[s] = true;
        ++under_way_;
        steps.push_back(s);
      }
    }
    for (size_t s : steps) ready.push_back(make_step(s));
    // All but the last to other threads: they may run at the same time.
    for (size_t i = 0; i < ready.size(); ++i)
      members_[steps[i]]->target->submit(std::move(ready[i]), here && i + 1 == ready.size());
  }

 private:
  struct Tensor {
    bool there = false;
    const Datatype* type = nullptr;
    std::vector<int64_t> shape;
    const std::byte* data = nullptr;
    size_t bytes = 0;
    std::unique_ptr<std::byte[]> memory;
    size_t room = 0;
  };

  class StepJob : public Job {
   public:
    StepJob(std::shared_ptr<EnsembleRun> run, size_t step) : run_(std::move(run)), step_(step) {}
    // Not before: the model's instance is free again only now, and the next step may be of the same model.
    ~StepJob() override { run_->advance(true); }
    bool cancelled() const override { return run_->job_ && run_->job_->cancelled(); }
    void done(const InferReply& reply) override { run_->step_done(step_, *this, reply); }

   private:
    std::shared_ptr<EnsembleRun> run_;
    size_t step_;
  };

  std::unique_ptr<Job> make_step(size_t s) {
    const Ensemble::Step& step = ensemble_->steps_[s];
    const Signature& member = *members_[s]->signature;
    auto job = std::make_unique<StepJob>(shared_from_this(), s);
    job->received = job_->received;
    job->owner = members_[s];
    InferRequest& request = job->request;
    request.model = step.model;
    request.id = job_->request.id;
    request.priority = job_->request.priority;
    request.timeout_us = job_->request.timeout_us;
    request.sequence = job_->request.sequence;
    request.shared_memory = job_->request.shared_memory;
    for (const auto& [name, t] : step.inputs) {
      const Tensor& tensor = tensors_[t];
      request.inputs.push_back(
          {.name = name, .type = tensor.type, .shape = tensor.shape, .data = tensor.data, .bytes = tensor.bytes});
    }
    const int64_t batch = member.max_batch() > 0 && !request.inputs.empty() && !request.inputs[0].shape.empty()
                              ? request.inputs[0].shape[0]
                              : 1;
    for (const auto& [name, t] : step.outputs) {
      OutputRequest out{.name = name};
      const auto spec = std::find_if(member.outputs().begin(), member.outputs().end(),
                                     [&, &n = name](const IoSpec& o) { return o.name == n; });
      if (spec != member.outputs().end() && !ensemble_->tensors_[t].readers.empty()) {
        const auto count = element_count(spec->dims);
        uint64_t bytes = 0;
        if (count && batch > 0 &&
            !__builtin_mul_overflow(*count * spec->type->size, static_cast<uint64_t>(batch), &bytes) && bytes > 0 &&
            bytes < uint64_t{1} << 32) {
          Tensor& tensor = tensors_[t];
          tensor.memory = std::make_unique_for_overwrite<std::byte[]>(bytes);
          tensor.room = bytes;
          out.target = tensor.memory.get();
          out.target_bytes = bytes;
        }
      }
      request.outputs.push_back(std::move(out));
    }
    return job;
  }

  void step_done(size_t s, Job& job, const InferReply& reply) {
    std::unique_lock lock(mutex_);
    --under_way_;
    if (reply.fault) {
      if (!fault_)
        fault_ = fault(reply.fault->kind, "in ensemble '{}', {}", ensemble_->signature_->name(), reply.fault->text);
    } else {
      take(s, job, reply);
    }
    // Nothing more to come: the tensors of this step may still lie in its model's memory, so the answer is given here.
    const bool over =
        under_way_ == 0 && (fault_ || std::all_of(started_.begin(), started_.end(), [](bool b) { return b; }));
    lock.unlock();
    if (over) answer();
    lock.lock();
    for (size_t t : borrowed_) tensors_[t].data = nullptr;
    borrowed_.clear();
  }

  // Under the mutex. Tensors that must outlive this call are copied, unless the step has written them where they stay.
  void take(size_t s, Job& job, const InferReply& reply) {
    const Ensemble::Step& step = ensemble_->steps_[s];
    if (job.times.start != Clock::time_point()) {  // else the answer came from a cache or another ensemble
      sums_.queue += job.times.start - job.queued;
      sums_.input += job.times.input_end - job.times.start;
      sums_.infer += job.times.infer_end - job.times.input_end;
      sums_.output += job.times.end - job.times.infer_end;
    }
    const bool last = under_way_ == 0 && std::all_of(started_.begin(), started_.end(), [](bool b) { return b; });
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const OutputTensor& out = reply.outputs[o];
      Tensor& tensor = tensors_[step.outputs[o].second];
      tensor.there = true;
      tensor.type = out.type;
      tensor.shape = out.shape;
      tensor.bytes = out.bytes;
      if (out.request->target) {
        tensor.data = tensor.memory.get();
      } else if (last) {
        tensor.data = out.data;
        borrowed_.push_back(step.outputs[o].second);
      } else {
        tensor.memory = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(out.bytes, 1));
        std::copy(out.data, out.data + out.bytes, tensor.memory.get());
        tensor.data = tensor.memory.get();
      }
      for (size_t reader : ensemble_->tensors_[step.outputs[o].second].readers) --waits_[reader];
    }
  }

  void answer() {
    const Signature& signature = *ensemble_->signature_;
    Statistics& statistics = *ensemble_->statistics_;
    InferReply reply{.model = &signature.name(), .version = ensemble_->version_};
    Labelled labelled;
    if (!fault_) fault_ = fill(&reply);
    if (!fault_ && job_->sink) job_->sink->take(reply);
    if (!fault_) fault_ = classify(signature.outputs(), signature.max_batch() > 0, &reply, &labelled);
    if (fault_) {
      statistics.failed(fault_->kind == Kind::kCancelled     ? Failure::kCanceled
                        : fault_->kind == Kind::kUnavailable ? Failure::kRejected
                                                             : Failure::kBackend,
                        job_->received);
      job_->done({.fault = &*fault_});
    } else {
      statistics.composed(job_->received, job_->batch, sums_);
      job_->done(reply);
    }
  }

  MaybeFault fill(InferReply* reply) const {
    const Signature& signature = *ensemble_->signature_;
    const auto& wanted = job_->request.outputs;
    for (size_t w = 0; w < (wanted.empty() ? signature.outputs().size() : wanted.size()); ++w) {
      const OutputRequest* request = wanted.empty() ? nullptr : &wanted[w];
      const std::string& name = request ? request->name : signature.outputs()[w].name;
      size_t t = 0;
      while (ensemble_->tensors_[t].name != name) ++t;
      size_t spec = 0;
      while (signature.outputs()[spec].name != name) ++spec;
      const Tensor& tensor = tensors_[t];
      OutputTensor out{.name = &signature.outputs()[spec].name,
                       .type = tensor.type,
                       .shape = tensor.shape,
                       .data = tensor.data,
                       .bytes = tensor.bytes,
                       .request = request};
      if (request && request->target) {
        if (out.bytes > request->target_bytes)
          return invalid("{}shared memory for output '{}' holds {} bytes, {} are needed", id_prefix(job_->request.id),
                         name, request->target_bytes, out.bytes);
        std::copy(out.data, out.data + out.bytes, request->target);
        out.data = nullptr;
      }
      reply->outputs.push_back(std::move(out));
    }
    return std::nullopt;
  }

  const std::shared_ptr<Ensemble> ensemble_;
  const std::unique_ptr<Job> job_;
  const std::vector<std::shared_ptr<const ModelVersion>> members_;  // by step: they serve this request to its end
  std::mutex mutex_;
  std::vector<Tensor> tensors_;
  std::vector<size_t> waits_;  // by step: tensors that are not there yet
  std::vector<bool> started_;
  std::vector<size_t> borrowed_;  // tensors whose data is valid during step_done() only
  size_t under_way_ = 0;
  MaybeFault fault_;
  Statistics::Sums sums_;
};

void Ensemble::submit(std::unique_ptr<Job> job, bool here) {
  MaybeFault refused = signature_->check(*job);
  std::vector<std::shared_ptr<const ModelVersion>> members;
  for (const Step& step : steps_) {
    if (refused) break;
    auto member = find_(step.model, step.version);
    if (member)
      members.push_back(*member);
    else
      refused = fault(Kind::kUnavailable, "in ensemble '{}', {}", signature_->name(), member.fault().text);
  }
  job->queued = Clock::now();
  if (refused) {
    statistics_->failed(refused->kind == Kind::kUnavailable ? Failure::kRejected : Failure::kOther, job->received);
    job->done({.fault = &*refused});
    return;
  }
  std::make_shared<EnsembleRun>(shared_from_this(), std::move(job), std::move(members))->advance(here);
}

size_t Ensemble::tensor(const std::string& name) {
  for (size_t t = 0; t < tensors_.size(); ++t)
    if (tensors_[t].name == name) return t;
  tensors_.push_back({.name = name});
  return tensors_.size() - 1;
}

namespace {

// Shapes with the batch dim; -1 fits any.
std::vector<int64_t> whole_shape(const IoSpec& spec, int64_t max_batch) {
  std::vector<int64_t> shape = spec.dims;
  if (max_batch > 0) shape.insert(shape.begin(), -1);
  return shape;
}

bool fit(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  if (a.size() != b.size()) return false;
  for (size_t d = 0; d < a.size(); ++d)
    if (a[d] != b[d] && a[d] != -1 && b[d] != -1) return false;
  return true;
}

// What is known of a tensor, and from whom.
struct Known {
  const IoSpec* spec = nullptr;
  std::vector<int64_t> shape;
  std::string where;
};

MaybeFault agree(const std::string& tensor, const Known& a, const Known& b) {
  if (a.spec->type != b.spec->type)
    return invalid("ensemble tensor '{}': {} has data type {}, {} has {}", tensor, a.where, a.spec->type->name, b.where,
                   b.spec->type->name);
  if (!fit(a.shape, b.shape))
    return invalid("ensemble tensor '{}': {} has shape {}, {} has {}", tensor, a.where, shape_text(a.shape), b.where,
                   shape_text(b.shape));
  return std::nullopt;
}

const IoSpec* find_spec(const std::vector<IoSpec>& specs, const std::string& name) {
  for (const IoSpec& spec : specs)
    if (spec.name == name) return &spec;
  return nullptr;
}

std::string names_of(const std::vector<IoSpec>& specs) {
  std::string text;
  for (const IoSpec& spec : specs) text += (text.empty() ? "'" : ", '") + spec.name + "'";
  return text;
}

}  // namespace

MaybeFault Ensemble::add_step(const inference::ModelEnsembling::Step& from, size_t index, const ModelVersion& member) {
  const Signature& signature = *member.signature;
  Step step{.model = from.model_name(), .version = from.model_version()};
  const std::string where = fmt::format("ensemble_scheduling step {} (model '{}')", index, from.model_name());
  if (signature_->max_batch() > signature.max_batch() && signature.max_batch() > 0)
    return invalid("{}: the ensemble's max_batch_size is {}, the model's only {}", where, signature_->max_batch(),
                   signature.max_batch());
  for (const auto& [name, tensor_name] : from.input_map()) {
    if (!find_spec(signature.inputs(), name))
      return invalid("{}: input_map names '{}', the model's inputs are {}", where, name, names_of(signature.inputs()));
    step.inputs.emplace_back(name, tensor(tensor_name));
    tensors_[step.inputs.back().second].readers.push_back(index);
  }
  for (const IoSpec& input : signature.inputs())
    if (!from.input_map().contains(input.name))
      return invalid("{}: input_map does not say where the model's input '{}' comes from", where, input.name);
  for (const auto& [name, tensor_name] : from.output_map()) {
    if (!find_spec(signature.outputs(), name))
      return invalid("{}: output_map names '{}', the model's outputs are {}", where, name,
                     names_of(signature.outputs()));
    step.outputs.emplace_back(name, tensor(tensor_name));
  }
  if (step.outputs.empty()) return invalid("{}: output_map is empty, so nothing uses the step", where);
  steps_.push_back(std::move(step));
  return std::nullopt;
}

// Every tensor has one source, and no step waits for itself.
MaybeFault Ensemble::check_order() const {
  std::vector<std::string> source(tensors_.size());
  std::vector<bool> there(tensors_.size(), false);
  for (size_t i = 0; i < signature_->inputs().size(); ++i) {
    source[i] = "the ensemble's inputs";
    there[i] = true;
  }
  for (size_t s = 0; s < steps_.size(); ++s)
    for (const auto& [name, t] : steps_[s].outputs) {
      const std::string by = fmt::format("ensemble_scheduling step {} (model '{}')", s, steps_[s].model);
      if (!source[t].empty())
        return invalid("ensemble tensor '{}' comes from {} and, by output_map, from {} too", tensors_[t].name,
                       source[t], by);
      source[t] = by;
    }
  for (size_t s = 0; s < steps_.size(); ++s)
    for (const auto& [name, t] : steps_[s].inputs)
      if (source[t].empty())
        return invalid(
            "ensemble_scheduling step {} (model '{}'): input_map takes '{}' from the tensor '{}', which is neither an "
            "input of the ensemble nor in any output_map",
            s, steps_[s].model, name, tensors_[t].name);
  for (size_t t = 0; t < tensors_.size(); ++t)
    if (tensors_[t].output && source[t].empty())
      return invalid("output '{}' of the ensemble is in no step's output_map", tensors_[t].name);
  std::vector<bool> ran(steps_.size(), false);
  for (bool more = true; more;) {
    more = false;
    for (size_t s = 0; s < steps_.size(); ++s) {
      if (ran[s] || !std::all_of(steps_[s].inputs.begin(), steps_[s].inputs.end(),
                                 [&](const auto& in) { return there[in.second]; }))
        continue;
      ran[s] = more = true;
      for (const auto& [name, t] : steps_[s].outputs) there[t] = true;
    }
  }
  std::string cycle;
  for (size_t s = 0; s < steps_.size(); ++s)
    if (!ran[s]) cycle += fmt::format("{}{} ('{}')", cycle.empty() ? "" : ", ", s, steps_[s].model);
  if (!cycle.empty()) return invalid("ensemble_scheduling: the steps {} wait for one another's tensors", cycle);
  return std::nullopt;
}

Or<std::shared_ptr<Ensemble>> Ensemble::make(const inference::ModelConfig& config,
                                             std::shared_ptr<const Signature> signature, int64_t version,
                                             FindModel find, std::shared_ptr<Statistics> statistics) {
  std::shared_ptr<Ensemble> e(new Ensemble);
  e->signature_ = std::move(signature);
  e->version_ = version;
  e->find_ = std::move(find);
  e->statistics_ = std::move(statistics);
  const int64_t max_batch = e->signature_->max_batch();
  std::vector<std::vector<Known>> known;  // by tensor
  const auto note = [&](size_t t, Known k) {
    known.resize(std::max(known.size(), t + 1));
    known[t].push_back(std::move(k));
  };
  for (const IoSpec& input : e->signature_->inputs())
    note(e->tensor(input.name), {&input, whole_shape(input, max_batch), "the ensemble's input"});
  for (const IoSpec& output : e->signature_->outputs()) {
    const size_t t = e->tensor(output.name);
    e->tensors_[t].output = true;
    note(t, {&output, whole_shape(output, max_batch), "the ensemble's output"});
  }
  std::vector<std::shared_ptr<const ModelVersion>> members;
  for (int s = 0; s < config.ensemble_scheduling().step_size(); ++s) {
    const auto& from = config.ensemble_scheduling().step(s);
    auto member = e->find_(from.model_name(), from.model_version());
    if (!member)
      return invalid("ensemble_scheduling step {}: model_name '{}'{}: {}", s, from.model_name(),
                     from.model_version() >= 0 ? fmt::format(", model_version {}", from.model_version()) : "",
                     member.fault().text);
    members.push_back(*member);
    if (auto refused = e->add_step(from, static_cast<size_t>(s), **member)) return *refused;
    const Signature& m = *(*member)->signature;
    const std::string where = fmt::format("step {} (model '{}')", s, from.model_name());
    for (const auto& [name, t] : e->steps_.back().inputs) {
      const IoSpec* spec = find_spec(m.inputs(), name);
      note(t, {spec, whole_shape(*spec, m.max_batch()), fmt::format("input '{}' of {}", name, where)});
    }
    for (const auto& [name, t] : e->steps_.back().outputs) {
      const IoSpec* spec = find_spec(m.outputs(), name);
      note(t, {spec, whole_shape(*spec, m.max_batch()), fmt::format("output '{}' of {}", name, where)});
    }
  }
  if (auto refused = e->check_order()) return *refused;
  for (size_t t = 0; t < known.size(); ++t)
    for (size_t k = 1; k < known[t].size(); ++k)
      if (auto refused = agree(e->tensors_[t].name, known[t][0], known[t][k])) return *refused;
  return e;
}

MaybeFault complete_ensemble(inference::ModelConfig* config) {
  for (auto& step : *config->mutable_ensemble_scheduling()->mutable_step())
    if (step.model_version() == 0) step.set_model_version(-1);
  const auto& steps = config->ensemble_scheduling().step();
  if (steps.empty()) return invalid("ensemble_scheduling has no step");
  if (config->max_batch_size() < 0) return invalid("max_batch_size {} is negative", config->max_batch_size());
  if (config->input().empty() || config->output().empty())
    return invalid("an ensemble's configuration must name its {}",
                   config->input().empty() ? "inputs (input)" : "outputs (output)");
  if (!config->instance_group().empty()) return invalid("instance_group: an ensemble has no instances of its own");
  if (config->model_transaction_policy().decoupled())
    return fault(Kind::kUnsupported, "model_transaction_policy: decoupled ensembles are not supported");
  for (int s = 0; s < steps.size(); ++s) {
    if (steps[s].model_name().empty()) return invalid("ensemble_scheduling step {} has no model_name", s);
    if (steps[s].model_version() < -1)
      return invalid(
          "ensemble_scheduling step {} (model '{}'): model_version {} is neither -1 (the newest) nor a version", s,
          steps[s].model_name(), steps[s].model_version());
  }
  const auto check = [](const auto& tensors, const char* word) -> MaybeFault {
    for (const auto& tensor : tensors) {
      const Datatype* type = datatype_of_config(tensor.data_type());
      if (!type || type->size == 0)
        return invalid("{} '{}': data_type {} is none that models take", word, tensor.name(),
                       inference::DataType_Name(tensor.data_type()));
      if (tensor.has_reshape())
        return invalid("{} '{}': reshape belongs into the member's configuration", word, tensor.name());
      for (int64_t d : tensor.dims())
        if (d < -1) return invalid("{} '{}': dims have {}", word, tensor.name(), d);
    }
    return std::nullopt;
  };
  if (auto refused = check(config->input(), "input")) return refused;
  if (auto refused = check(config->output(), "output")) return refused;
  config->set_platform("ensemble");
  if (!config->has_version_policy()) config->mutable_version_policy()->mutable_latest()->set_num_versions(1);
  return std::nullopt;
}

}  // namespace carnot::serve
