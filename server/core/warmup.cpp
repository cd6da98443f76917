// SPDX-License-Identifier: Apache-2.0
#include "core/warmup.hpp"

#include <filesystem>
#include <fstream>
#include <random>

namespace carnot::serve {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 32;

class Sample : public Job {
 public:
  explicit Sample(MaybeFault* why) : why_(why) {}
  void done(const InferReply& reply) override {
    if (reply.fault) *why_ = *reply.fault;
  }
  std::vector<std::vector<std::byte>> data;

 private:
  MaybeFault* why_;
};

MaybeFault fill(const inference::ModelWarmup::Input& input, const std::string& folder, std::vector<std::byte>* data) {
  if (input.random_data()) {
    // Small bytes: as numbers of any type they are finite.
    std::minstd_rand random(1);
    for (std::byte& b : *data) b = static_cast<std::byte>(random() % 32);
  } else if (!input.input_data_file().empty()) {
    const std::string& name = input.input_data_file();
    if (name.find('/') != std::string::npos || name[0] == '.')
      return invalid("warm-up file '{}' is no plain file name", name);
    std::ifstream in(std::filesystem::path(folder) / "warmup" / name, std::ios::binary);
    if (!in.read(reinterpret_cast<char*>(data->data()), static_cast<std::streamsize>(data->size())))
      return invalid("warm-up file '{}' is not there or has less than {} bytes", name, data->size());
  }
  return std::nullopt;
}

}  // namespace

MaybeFault warm_up(const inference::ModelConfig& config, const std::string& folder, const Runner& runner,
                   Scheduler& scheduler, const std::function<void(Job&)>& prepare) {
  for (const auto& sample : config.model_warmup()) {
    MaybeFault why;
    std::vector<std::unique_ptr<Job>> jobs;
    auto job = std::make_unique<Sample>(&why);
    job->data.resize(static_cast<size_t>(sample.inputs_size()));
    size_t next = 0;
    for (const auto& [name, input] : sample.inputs()) {
      const Datatype* type = datatype_of_config(input.data_type());
      if (!type || type->size == 0)
        return invalid("warm-up '{}': input '{}' has no usable data_type", sample.name(), name);
      std::vector<int64_t> shape(input.dims().begin(), input.dims().end());
      if (runner.max_batch() > 0) shape.insert(shape.begin(), std::max<int64_t>(sample.batch_size(), 1));
      const auto count = element_count(shape);
      if (!count || *count > kMaxBytes / type->size)
        return invalid("warm-up '{}': input '{}' has no usable dims", sample.name(), name);
      auto& data = job->data[next++];
      data.resize(*count * type->size);
      if (auto refused = fill(input, folder, &data)) return refused;
      job->request.inputs.push_back(
          {.name = name, .type = type, .shape = std::move(shape), .data = data.data(), .bytes = data.size()});
    }
    if (auto refused = runner.check(*job)) {
      const size_t id = refused->text.starts_with("[request id") ? refused->text.find("] ") + 2 : 0;
      return invalid("warm-up '{}': {}", sample.name(), refused->text.substr(id));
    }
    prepare(*job);
    jobs.push_back(std::move(job));
    Statistics ignored;  // clients' numbers count clients' requests
    scheduler.each_instance([&](Instance& instance) {
      for (uint32_t i = 0; i < std::max<uint32_t>(sample.count(), 1) && !why; ++i)
        runner.run(instance, jobs, 0, ignored);
    });
    if (why) return invalid("warm-up '{}': {}", sample.name(), why->text);
  }
  return std::nullopt;
}

}  // namespace carnot::serve
