// SPDX-License-Identifier: Apache-2.0
// carnot::LoadTest: sets a level up, lets the workers run, looks at them window by window.
#include "carnot/load.hpp"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "load/control.hpp"
#include "load/shared_region.hpp"
#include "load/summary.hpp"

namespace carnot {

using namespace serve;
using namespace serve::load;

namespace {

[[noreturn]] void raise(const Fault& why) {
  throw Exception(why.kind == Kind::kNotFound      ? CARNOT_NOT_FOUND
                  : why.kind == Kind::kUnavailable ? CARNOT_IO
                                                   : CARNOT_INVALID_ARGUMENT,
                  why.text);
}

Address address_of(LoadOptions* options) {
  std::string text = options->url;
  if (text.starts_with("grpc://")) {
    options->grpc = true;
    text = text.substr(7);
  } else if (text.starts_with("http://")) {
    text = text.substr(7);
  } else if (text.starts_with("https://") || text.starts_with("grpcs://")) {
    raise(invalid("'{}': the load client speaks no TLS; send the load past it", options->url));
  }
  text = text.substr(0, text.find('/'));
  const size_t colon = text.rfind(':');
  Address a{text.substr(0, colon), options->grpc ? "8001" : "8000"};
  if (colon != std::string::npos) a.port = text.substr(colon + 1);
  if (a.host.empty() || a.port.empty())
    raise(invalid("'{}' is no address: write [http://|grpc://]HOST:PORT", options->url));
  return a;
}

}  // namespace

struct LoadTest::Impl {
  explicit Impl(LoadOptions o) : options(std::move(o)), address(address_of(&options)) {
    if (options.model.empty()) raise(invalid("the name of a model is needed"));
    if (options.json && options.grpc) raise(invalid("JSON tensors are a matter of HTTP"));
    if (options.threads < 1 || options.threads > 256) raise(invalid("threads must lie in [1, 256]"));
    control = options.grpc ? grpc_control(options, address) : http_control(options, address);
    auto server = control->server();
    if (!server) raise(server.fault());
    statistics =
        std::find(server->extensions().begin(), server->extensions().end(), "statistics") != server->extensions().end();
    auto metadata = control->metadata();
    if (!metadata) raise(metadata.fault());
    // Servers without Triton's extensions have no configuration: then shapes are what the metadata says.
    if (auto config = control->config()) {
      batched = config->max_batch_size() > 0;
      if (config->has_sequence_batching()) sequence_length = std::max(options.sequence_length, 1);
      for (const auto& step : config->ensemble_scheduling().step())
        if (std::find(models.begin(), models.end(), step.model_name()) == models.end())
          models.push_back(step.model_name());
    }
    models.insert(models.begin(), options.model);
    auto made = make_data(options, *metadata, batched);
    if (!made) raise(made.fault());
    data = std::move(*made);
    for (const Tensor& t : data.samples[0])
      if (options.json && (t.type->dtype == CARNOT_F16 || t.type->dtype == CARNOT_BF16))
        raise(invalid("input '{}' is {}, which JSON cannot carry: use binary tensors", t.name, t.type->name));
    if (options.shared_memory) place_inputs();
  }

  ~Impl() {
    for (const std::string& name : registered) control->remove_region(name);
  }

  void add_region(const std::string& name, size_t bytes) {
    auto& region = memory.emplace_back(std::make_unique<SharedRegion>());
    if (auto refused = region->create("/" + name, std::max<size_t>(bytes, 1))) raise(*refused);
    if (auto refused = control->add_region(name, region->key(), std::max<size_t>(bytes, 1))) raise(*refused);
    registered.push_back(name);
  }

  void place_inputs() {
    constexpr size_t kAlign = 64;
    size_t end = 0;
    const auto place = [&](size_t bytes) { return std::exchange(end, (end + bytes + kAlign - 1) / kAlign * kAlign); };
    for (const Sample& sample : data.samples) {
      auto& offsets = regions.input_offsets.emplace_back();
      for (const Tensor& t : sample) offsets.push_back(place(t.bytes.size()));
    }
    const std::string prefix = fmt::format("carnot_load_{}_{}", getpid(), reinterpret_cast<uintptr_t>(this) & 0xFFFFFF);
    regions.input = prefix + "_in";
    regions.output_prefix = prefix + "_out";
    add_region(regions.input, end);
    for (size_t s = 0; s < data.samples.size(); ++s)
      for (size_t i = 0; i < data.samples[s].size(); ++i) {
        const std::string& bytes = data.samples[s][i].bytes;
        std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(memory[0]->data()) + regions.input_offsets[s][i]);
      }
    end = 0;
    for (const OutputSpec& out : data.outputs) regions.output_offsets.push_back(place(out.bytes));
    output_bytes = end;
  }

  // The statistics of the models, in the order of `models`; empty: there are none.
  std::vector<inference::ModelStatistics> snapshot() {
    std::vector<inference::ModelStatistics> list;
    for (size_t m = 0; statistics && m < models.size(); ++m) {
      auto answer = control->statistics(models[m]);
      if (!answer || answer->model_stats().empty()) return {};
      // Several versions: the one that answers, or their newest.
      const auto& all = answer->model_stats();
      const inference::ModelStatistics* chosen = &all[0];
      for (const auto& s : all)
        if (m == 0 && !options.version.empty()               ? s.version() == options.version
            : s.version().size() != chosen->version().size() ? s.version().size() > chosen->version().size()
                                                             : s.version() > chosen->version())
          chosen = &s;
      list.push_back(*chosen);
    }
    return list;
  }

  struct Level {
    Shared shared;
    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<std::thread> threads;
    std::atomic<size_t> running{0};
    ~Level() {
      shared.stop = true;
      for (std::thread& t : threads) t.join();
    }
    void join() {
      for (std::thread& t : threads) t.join();
      threads.clear();
    }
  };

  void start(Level& level, double rate_or_slots) {
    const auto begin = Clock::now() + std::chrono::milliseconds(1);
    const auto count = static_cast<double>(level.workers.size());
    for (size_t t = 0; t < level.workers.size(); ++t) {
      ++level.running;
      level.threads.emplace_back([&level, this, t, rate_or_slots, begin, count] {
        Worker& worker = *level.workers[t];
        const auto offset = std::chrono::duration<double>(static_cast<double>(t) / rate_or_slots);
        if (options.open_loop)
          worker.open_loop(rate_or_slots / count, options.poisson, options.seed + t,
                           begin + std::chrono::duration_cast<Clock::duration>(offset));
        else
          worker.closed_loop();
        --level.running;
      });
    }
  }

  Batch take(Level& level) {
    Batch all;
    for (auto& worker : level.workers) {
      Batch part = worker->take();
      all.good.insert(all.good.end(), part.good.begin(), part.good.end());
      for (const auto& [text, count] : part.errors) all.errors[text] += count;
    }
    return all;
  }

  void prepare(Level& level, double value) {
    const size_t slots =
        options.open_loop ? static_cast<size_t>(std::max(options.connections, 1)) : static_cast<size_t>(value);
    const size_t threads = std::min<size_t>(static_cast<size_t>(options.threads), slots);
    if (options.shared_memory)
      for (; output_regions < slots; ++output_regions)
        add_region(regions.output_prefix + std::to_string(output_regions), output_bytes);
    level.shared.samples = data.samples.size();
    level.shared.sequence_length = sequence_length;
    level.shared.next_sequence = next_sequence;
    size_t first = 0;
    for (size_t t = 0; t < threads; ++t) {
      const size_t own = slots / threads + (t < slots % threads ? 1 : 0);
      const TransportOptions part{&options, address, &data, options.shared_memory ? &regions : nullptr, first, own};
      auto transport = options.grpc ? grpc_transport(part) : http_transport(part);
      if (!transport) raise(transport.fault());
      level.workers.push_back(std::make_unique<Worker>(std::move(*transport), own, level.shared));
      first += own;
    }
  }

  void run_counted(Level& level, double value, size_t requests) {
    level.shared.counted = true;
    level.shared.budget = static_cast<int64_t>(requests);
    start(level, value);
    while (level.running > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      if (options.interrupted && options.interrupted()) level.shared.stop = true;
    }
    level.join();
  }

  LoadResult measure(double value) {
    if (!(value > 0) || value > 1e9 || (!options.open_loop && (value < 1 || value > 65536)))
      raise(invalid("{} is no possible {}", value, options.open_loop ? "request rate" : "concurrency"));
    Level level;
    prepare(level, value);
    if (options.warmup_requests) {
      run_counted(level, value, options.warmup_requests);
      (void)take(level);
    }
    std::vector<Window> windows;
    std::vector<std::vector<inference::ModelStatistics>> snapshots = {snapshot()};
    bool settled = false;
    if (options.requests) {
      const auto begin = Clock::now();
      run_counted(level, value, options.requests);
      windows.push_back({std::chrono::duration<double>(Clock::now() - begin).count(), take(level)});
      snapshots.push_back(snapshot());
      settled = true;
    } else {
      level.shared.counted = false;
      start(level, value);
      auto begin = Clock::now();
      bool over = false;
      while (!over && !settled && windows.size() < static_cast<size_t>(std::max(options.max_windows, 1))) {
        while (!over && Clock::now() < begin + options.window) {
          std::this_thread::sleep_for(
              std::min<Clock::duration>(begin + options.window - Clock::now(), std::chrono::milliseconds(20)));
          over = options.interrupted && options.interrupted();
        }
        Window window{.batch = take(level)};
        const auto end = Clock::now();
        window.seconds = std::chrono::duration<double>(end - begin).count();
        begin = end;
        snapshots.push_back(snapshot());
        judge(&window, options);
        windows.push_back(std::move(window));
        settled = stable(windows, options.stability);
      }
      level.shared.stop = true;
      level.join();
      // The last three count: what came before may have been the way there.
      if (windows.size() > 3) {
        windows.erase(windows.begin(), windows.end() - 3);
        snapshots.erase(snapshots.begin(), snapshots.end() - 4);
      }
    }
    next_sequence = level.shared.next_sequence;
    LoadResult result = summarize(windows, options);
    result.level = value;
    result.stable = settled;
    const auto &before = snapshots.front(), &after = snapshots.back();
    for (size_t m = 0; m < after.size() && before.size() == after.size(); ++m)
      result.server.push_back(difference(before[m], after[m]));
    return result;
  }

  LoadOptions options;
  const Address address;
  std::unique_ptr<Control> control;
  bool statistics = false, batched = false;
  int sequence_length = 0;
  uint64_t next_sequence = (static_cast<uint64_t>(getpid()) << 24) + 1;  // other clients have theirs
  std::vector<std::string> models;  // the model, then its steps if it is an ensemble
  Data data;
  Regions regions;
  size_t output_bytes = 0, output_regions = 0;
  std::vector<std::unique_ptr<SharedRegion>> memory;
  std::vector<std::string> registered;
};

LoadTest::LoadTest(LoadOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
LoadTest::~LoadTest() = default;
LoadResult LoadTest::measure(double level) { return impl_->measure(level); }

}  // namespace carnot
