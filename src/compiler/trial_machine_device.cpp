// SPDX-License-Identifier: Apache-2.0
// Trials on a device with memory of its own, by the contract of device/device.hpp alone.
#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "compiler/cuda_code.hpp"
#include "compiler/trial_machine.hpp"
#include "device/backend.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::compiler {
namespace {

// Filled before each run, so that the device is busy until everything is enqueued, and its cache (50 MB on a Hopper) holds other things.
constexpr size_t kSweepBytes = size_t{128} << 20;

// What all benches of one device share.
struct Shared {
  std::shared_ptr<device::Device> device;
  device::DeviceInfo info;
  int sm = 0;
  device::Memory sweep;
  std::map<std::string, std::string> code;  // by source
};

class DeviceBench final : public TrialBench {
 public:
  DeviceBench(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Status prepare(const tactics::Problem& problem, const tactics::Sizes& sizes) {
    CARNOT_ASSIGN(stream_, shared_->device->make_stream());
    CARNOT_ASSIGN(begin_, shared_->device->make_event());
    CARNOT_ASSIGN(end_, shared_->device->make_event());
    std::mt19937 random(7);
    for (const ir::Value* v : problem.node.inputs) {
      CARNOT_ASSIGN(const Constant c, trial_operand(v, sizes, random));
      CARNOT_ASSIGN(const TensorView view, upload(c));
      inputs_.push_back(view);
    }
    for (const ir::Value* v : problem.node.outputs) {
      CARNOT_ASSIGN(const Constant c, trial_operand(v, sizes, random));
      CARNOT_ASSIGN(const TensorView view, upload(c));
      outputs_.push_back(view);
    }
    return {};
  }

  Status add(const tactics::Candidate& candidate) override {
    Entry entry;
    Attrs params = candidate.params;
    std::span<const std::byte> code;
    if (!candidate.code.empty()) {
      auto place = shared_->code.find(candidate.code);
      if (place == shared_->code.end()) {
        CARNOT_ASSIGN(std::vector<std::string> binaries, compile_cuda({candidate.code}, shared_->sm));
        place = shared_->code.emplace(candidate.code, std::move(binaries.at(0))).first;
      }
      code = std::as_bytes(std::span(place->second));
      params.emplace_back("code", int64_t{0});
    }
    CARNOT_ASSIGN(entry.kernel, shared_->device->make_kernel(candidate.kernel, params, code));
    CARNOT_RETURN_IF_ERROR(entry.kernel->check_operands(candidate.inputs.size(), outputs_.size()));
    for (const tactics::Operand& operand : candidate.inputs) {
      if (operand.input >= 0) {
        entry.inputs.push_back(inputs_[static_cast<size_t>(operand.input)]);
      } else if (operand.constant) {
        CARNOT_ASSIGN(const TensorView view, upload(*operand.constant));
        entry.inputs.push_back(view);
      } else {
        entry.inputs.emplace_back();
      }
    }
    if (const size_t bytes = entry.kernel->workspace(entry.inputs, outputs_, 1); bytes > 0) {
      CARNOT_ASSIGN(entry.workspace, shared_->device->allocate(bytes, device::Place::kDevice));
    }
    entries_.push_back(std::move(entry));
    // Once, and waited for: libraries choose their algorithms then, and what fails here is no candidate.
    Status ran = execute(entries_.size() - 1);
    if (ran) ran = stream_->wait();
    if (!ran) entries_.pop_back();
    return ran;
  }

  Result<double> run(size_t candidate) override {
    CARNOT_RETURN_IF_ERROR(stream_->fill(shared_->sweep.get(), 0, kSweepBytes));
    CARNOT_RETURN_IF_ERROR(begin_->record(*stream_));
    CARNOT_RETURN_IF_ERROR(execute(candidate));
    CARNOT_RETURN_IF_ERROR(end_->record(*stream_));
    CARNOT_RETURN_IF_ERROR(end_->wait());
    CARNOT_ASSIGN(const double milliseconds, end_->milliseconds_since(*begin_));
    return milliseconds * 1e6;
  }

  Result<double> difference(size_t candidate) override {
    CARNOT_ASSIGN(const std::vector<Constant> wanted, results(0));
    CARNOT_ASSIGN(const std::vector<Constant> got, results(candidate));
    std::vector<TensorView> views;
    for (const Constant& c : got) views.push_back(c.view());
    return trial_difference(wanted, views);
  }

 private:
  struct Entry {
    std::unique_ptr<device::Kernel> kernel;
    std::vector<TensorView> inputs;
    device::Memory workspace;
  };

  Result<TensorView> upload(const Constant& c) {
    TensorView view{c.dtype, c.dims, nullptr};
    if (c.dtype == DType::kInvalid) return view;
    CARNOT_ASSIGN(device::Memory memory, shared_->device->allocate(std::max<size_t>(c.bytes(), 1), device::Place::kDevice));
    CARNOT_RETURN_IF_ERROR(stream_->copy(memory.get(), c.data, c.bytes()));
    CARNOT_RETURN_IF_ERROR(stream_->wait());
    view.data = memory.get();
    memory_.push_back(std::move(memory));
    return view;
  }

  Status execute(size_t candidate) {
    Entry& entry = entries_[candidate];
    device::KernelArgs args;
    args.in = entry.inputs;
    args.out = outputs_;
    args.workspace = entry.workspace.get();
    args.stream = stream_.get();
    return entry.kernel->run(args);
  }

  Result<std::vector<Constant>> results(size_t candidate) {
    CARNOT_RETURN_IF_ERROR(execute(candidate));
    std::vector<Constant> out;
    for (const TensorView& y : outputs_) {
      Constant c = Constant::allocate(y.dtype, y.dims);
      CARNOT_RETURN_IF_ERROR(stream_->copy(c.mutable_data(), y.data, c.bytes()));
      CARNOT_RETURN_IF_ERROR(stream_->wait());
      out.push_back(std::move(c));
    }
    return out;
  }

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<device::Stream> stream_;
  std::unique_ptr<device::Event> begin_, end_;
  std::vector<device::Memory> memory_;
  std::vector<TensorView> inputs_, outputs_;
  std::vector<Entry> entries_;
};

class DeviceMachine final : public TrialMachine {
 public:
  explicit DeviceMachine(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::string key() const override { return fmt::format("{} {} {} | {}", shared_->info.name, shared_->info.architecture, shared_->info.versions, kernel_table_key()); }
  Weights weights(size_t) const override { return Weights::kCold; }
  Result<std::unique_ptr<TrialBench>> bench(const tactics::Problem& problem, const tactics::Sizes& sizes, Weights) override {
    auto bench = std::make_unique<DeviceBench>(shared_);
    CARNOT_RETURN_IF_ERROR(bench->prepare(problem, sizes));
    return std::unique_ptr<TrialBench>(std::move(bench));
  }

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace

Result<std::unique_ptr<TrialMachine>> open_device_machine(const std::string& kind, int ordinal) {
  auto shared = std::make_shared<Shared>();
  CARNOT_ASSIGN(device::Backend* const backend, device::open_backend(kind));
  CARNOT_ASSIGN(shared->device, backend->open(ordinal));
  CARNOT_ASSIGN(shared->info, shared->device->info());
  const std::string& architecture = shared->info.architecture;  // "sm_90"
  if (!architecture.starts_with("sm_")) return fail(Code::kUnsupported, "a device of architecture '{}' compiles no kernels", architecture);
  for (const char c : architecture.substr(3))
    if (c >= '0' && c <= '9' && shared->sm < 1000) shared->sm = shared->sm * 10 + (c - '0');
  CARNOT_ASSIGN(shared->sweep, shared->device->allocate(kSweepBytes, device::Place::kDevice));
  return std::unique_ptr<TrialMachine>(std::make_unique<DeviceMachine>(std::move(shared)));
}

}  // namespace carnot::compiler
