// SPDX-License-Identifier: Apache-2.0
// Trials on the CPU.
#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>

#include "backends/cpu/kernel.hpp"
#include "base/cpu_features.hpp"
#include "compiler/trial_machine.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::compiler {
namespace {

constexpr size_t kLine = 64;
using Clock = std::chrono::steady_clock;

// Reads a byte of each line, so that it comes into the reader's caches.
void read_lines(const void* data, size_t begin, size_t end) {
  for (size_t at = begin; at < end; at += kLine) _mm_prefetch(static_cast<const char*>(data) + at, _MM_HINT_T1);
}

// The lines leave every cache.
void flush_lines(const void* data, size_t begin, size_t end) {
  for (size_t at = begin; at < end; at += kLine) _mm_clflush(static_cast<const char*>(data) + at);
}

// Returns when all workers are awake, or soon after that: in the middle of a run nobody sleeps.
void wake(ThreadPool& pool) {
  std::atomic<int> here = 0;
  const auto end = Clock::now() + std::chrono::microseconds(300);
  pool.parallel_for(pool.threads(), [&](int64_t) {
    here.fetch_add(1);
    while (here.load() < pool.threads() && Clock::now() < end) _mm_pause();
  });
}

class CpuBench final : public TrialBench {
 public:
  CpuBench(std::shared_ptr<ThreadPool> pool, Weights weights) : pool_(std::move(pool)), weights_(weights) {}

  Status prepare(const tactics::Problem& problem, const tactics::Sizes& sizes) {
    std::mt19937 random(7);
    for (const ir::Value* v : problem.node.inputs) {
      CARNOT_ASSIGN(Constant c, trial_operand(v, sizes, random));
      inputs_.push_back(std::move(c));
    }
    for (const ir::Value* v : problem.node.outputs) {
      CARNOT_ASSIGN(Constant c, trial_operand(v, sizes, random));
      outputs_.push_back(c);
      output_views_.push_back(c.view());
    }
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (!problem.node.has(i) || !problem.node.in(i)->constant) activations_.push_back(i);
    return {};
  }

  Status add(const tactics::Candidate& candidate) override {
    const cpu::KernelRow* row = cpu::find_kernel(candidate.kernel);
    if (!row) return fail(Code::kInternal, "there is no kernel '{}'", candidate.kernel);
    Entry entry;
    CARNOT_ASSIGN(entry.kernel, row->make(candidate.params));
    CARNOT_RETURN_IF_ERROR(entry.kernel->check_operands(candidate.inputs.size(), outputs_.size()));
    for (const tactics::Operand& operand : candidate.inputs) {
      if (operand.input >= 0) {
        entry.inputs.push_back(inputs_[static_cast<size_t>(operand.input)].view());
      } else if (operand.constant) {
        entry.owners.push_back(shared(operand.constant));
        entry.inputs.push_back(entry.owners.back()->view());
      } else {
        entry.inputs.emplace_back();
      }
    }
    const size_t bytes = entry.kernel->workspace(entry.inputs, output_views_, pool_->threads());
    if (bytes > workspace_bytes_) {
      workspace_ = aligned_allocate(bytes);
      workspace_bytes_ = workspace_ ? bytes : 0;
      if (!workspace_) return fail(Code::kOutOfMemory, "no memory for {} bytes of workspace", bytes);
    }
    entries_.push_back(std::move(entry));
    return {};
  }

  Result<double> run(size_t candidate) override {
    set_caches(entries_[candidate]);
    wake(*pool_);
    const auto begin = Clock::now();
    CARNOT_RETURN_IF_ERROR(execute(candidate));
    return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
  }

  Result<double> difference(size_t candidate) override {
    std::vector<Constant> wanted;
    CARNOT_RETURN_IF_ERROR(execute(0));
    for (const TensorView& y : output_views_) wanted.push_back(Constant::copy_of(y.dtype, y.dims, y.data));
    CARNOT_RETURN_IF_ERROR(execute(candidate));
    return trial_difference(wanted, output_views_);
  }

 private:
  struct Entry {
    std::unique_ptr<device::Kernel> kernel;
    std::vector<TensorView> inputs;
    std::vector<std::shared_ptr<const Constant>> owners;
  };

  Status execute(size_t candidate) {
    const Entry& entry = entries_[candidate];
    device::KernelArgs args;
    args.in = entry.inputs;
    args.out = output_views_;
    args.workspace = workspace_.get();
    args.pool = pool_.get();
    return entry.kernel->run(args);
  }

  // Candidates mostly pack their weights alike: one copy is enough, and equal lines in the caches are fair.
  std::shared_ptr<const Constant> shared(const std::shared_ptr<const Constant>& constant) {
    for (const Entry& entry : entries_)
      for (const auto& other : entry.owners)
        if (other->dtype == constant->dtype && other->bytes() == constant->bytes() && std::memcmp(other->data, constant->data, constant->bytes()) == 0) return other;
    return constant;
  }

  // What the last command of a network leaves behind: its result, which is an operand here, near; weights far away.
  void set_caches(const Entry& entry) {
    const auto parts = static_cast<size_t>(pool_->threads());
    auto each_part = [&](const void* data, size_t bytes, auto&& visit) {
      const size_t step = (bytes / parts + kLine) / kLine * kLine;
      pool_->parallel_for(static_cast<int64_t>(parts), [&](int64_t part) {
        const size_t begin = std::min(bytes, static_cast<size_t>(part) * step);
        visit(data, begin, std::min(bytes, begin + step));
      });
    };
    if (weights_ == Weights::kCold) {
      for (const TensorView& view : entry.inputs)
        if (view.dtype != DType::kInvalid && !is_activation(view)) each_part(view.data, view.bytes(), flush_lines);
    } else {
      // Out of the caches of the cores, not out of the last one.
      if (sweep_.empty()) sweep_.resize(parts * 2 * static_cast<size_t>(cpu_features().l2_bytes));
      each_part(sweep_.data(), sweep_.size(), [](const void* data, size_t begin, size_t end) {
        volatile char* p = const_cast<char*>(static_cast<const char*>(data));
        for (size_t at = begin; at < end; at += kLine) p[at] = static_cast<char>(p[at] + 1);
      });
    }
    for (const size_t i : activations_) each_part(inputs_[i].data, inputs_[i].bytes(), read_lines);
  }

  bool is_activation(const TensorView& view) const {
    return std::any_of(activations_.begin(), activations_.end(), [&](size_t i) { return inputs_[i].data == view.data; });
  }

  std::shared_ptr<ThreadPool> pool_;
  Weights weights_;
  std::vector<Constant> inputs_, outputs_;
  std::vector<TensorView> output_views_;
  std::vector<size_t> activations_;
  std::vector<Entry> entries_;
  AlignedPtr workspace_;
  size_t workspace_bytes_ = 0;
  std::vector<char> sweep_;
};

class CpuMachine final : public TrialMachine {
 public:
  explicit CpuMachine(int threads) : pool_(shared_thread_pool(threads)) {}

  std::string key() const override {
    const CpuFeatures& f = cpu_features();
    return fmt::format("{} {} l1d {} l2 {} l3 {} threads {} | {}", cpu_name(), isa_name(kernel_isa()), f.l1d_bytes, f.l2_bytes, f.l3_bytes, pool_->threads(), kernel_table_key());
  }
  Weights weights(size_t bytes) const override { return static_cast<int64_t>(bytes) > cpu_features().l3_bytes / 2 ? Weights::kCold : Weights::kCached; }

  Result<std::unique_ptr<TrialBench>> bench(const tactics::Problem& problem, const tactics::Sizes& sizes, Weights weights) override {
    auto bench = std::make_unique<CpuBench>(pool_, weights);
    CARNOT_RETURN_IF_ERROR(bench->prepare(problem, sizes));
    return std::unique_ptr<TrialBench>(std::move(bench));
  }

 private:
  std::shared_ptr<ThreadPool> pool_;
};

}  // namespace

Result<std::unique_ptr<TrialMachine>> open_cpu_machine(int threads) { return std::unique_ptr<TrialMachine>(std::make_unique<CpuMachine>(threads)); }

}  // namespace carnot::compiler
