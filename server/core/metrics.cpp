// SPDX-License-Identifier: Apache-2.0
#include "core/metrics.hpp"

#include <unistd.h>

#include <fstream>

namespace carnot::serve {
namespace {

struct Sample {
  std::string labels;  // model="m",version="1"
  Statistics::Numbers numbers;
  size_t pending = 0;
  double load_seconds = 0;
};

std::string escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

template <typename Fn>
void family(const char* name, const char* type, const char* help, const std::vector<Sample>& samples, std::string* out,
            const Fn& value) {
  *out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  for (const Sample& s : samples) *out += fmt::format("{}{{{}}} {}\n", name, s.labels, value(s));
}

uint64_t us(const Duration& d) { return d.ns / 1000; }

void histogram(const std::vector<Sample>& samples, std::string* out) {
  const char* name = "carnot_inference_request_duration_seconds";
  *out += fmt::format("# HELP {} Time of successful requests in the server, queue included\n# TYPE {} histogram\n",
                      name, name);
  for (const Sample& s : samples) {
    uint64_t sum = 0;
    for (size_t i = 0; i < kLatencyBoundsUs.size(); ++i) {
      sum += s.numbers.latency[i];
      *out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, s.labels, kLatencyBoundsUs[i] / 1e6, sum);
    }
    sum += s.numbers.latency.back();
    *out += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", name, s.labels, sum,
                        name, s.labels, static_cast<double>(s.numbers.latency_us) / 1e6, name, s.labels, sum);
  }
}

void batches(const std::vector<Sample>& samples, std::string* out) {
  const char* name = "carnot_inference_batch_size_total";
  *out += fmt::format("# HELP {} Runs by the number of items in their batch\n# TYPE {} counter\n", name, name);
  for (const Sample& s : samples)
    for (const auto& [size, batch] : s.numbers.batches)
      *out += fmt::format("{}{{{},batch_size=\"{}\"}} {}\n", name, s.labels, size, batch.infer.count);
}

void memory(std::string* out) {
  std::ifstream in("/proc/meminfo");
  uint64_t total = 0, available = 0;
  for (std::string key, unit; in >> key;) {
    uint64_t value = 0;
    in >> value;
    std::getline(in, unit);
    if (key == "MemTotal:") total = value * 1024;
    if (key == "MemAvailable:") available = value * 1024;
  }
  *out += fmt::format(
      "# HELP nv_cpu_memory_total_bytes CPU total memory (RAM), in bytes\n# TYPE nv_cpu_memory_total_bytes "
      "gauge\nnv_cpu_memory_total_bytes {}\n",
      total);
  *out += fmt::format(
      "# HELP nv_cpu_memory_used_bytes CPU used memory (RAM), in bytes\n# TYPE nv_cpu_memory_used_bytes "
      "gauge\nnv_cpu_memory_used_bytes {}\n",
      total - available);
}

}  // namespace

std::string metrics_text(const Core& core) {
  std::vector<Sample> samples;
  for (const auto& model : core.repository.loaded()) {
    Sample s{.labels = fmt::format("model=\"{}\",version=\"{}\"", escape(model->name), model->version),
             .numbers = model->statistics->numbers()};
    for (const auto& [tag, value] : model->config.metric_tags()) {
      // A tag is a label: letters, digits and underscores.
      std::string name;
      for (char c : tag)
        name += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9' && !name.empty()) ? c : '_';
      s.labels += fmt::format(",_{}=\"{}\"", name, escape(value));
    }
    s.pending = model->target->pending();
    s.load_seconds = model->load_seconds;
    samples.push_back(std::move(s));
  }
  std::string out;
  family("nv_inference_request_success", "counter", "Number of successful inference requests, all batch sizes", samples,
         &out, [](const Sample& s) { return s.numbers.success.count; });
  out +=
      "# HELP nv_inference_request_failure Number of failed inference requests, all batch sizes\n# TYPE "
      "nv_inference_request_failure counter\n";
  for (const Sample& s : samples)
    for (size_t i = 0; i < kFailureNames.size(); ++i)
      out += fmt::format("nv_inference_request_failure{{{},reason=\"{}\"}} {}\n", s.labels, kFailureNames[i],
                         s.numbers.failures[i]);
  family("nv_inference_count", "counter", "Number of inferences performed (does not include cached requests)", samples,
         &out, [](const Sample& s) { return s.numbers.inferences; });
  family("nv_inference_exec_count", "counter",
         "Number of model executions performed (does not include cached requests)", samples, &out,
         [](const Sample& s) { return s.numbers.executions; });
  family("nv_inference_request_duration_us", "counter",
         "Cumulative inference request duration in microseconds (includes cached requests)", samples, &out,
         [](const Sample& s) { return us(s.numbers.success) + us(s.numbers.fail); });
  family("nv_inference_queue_duration_us", "counter",
         "Cumulative inference queuing duration in microseconds (includes cached requests)", samples, &out,
         [](const Sample& s) { return us(s.numbers.queue); });
  family("nv_inference_compute_input_duration_us", "counter",
         "Cumulative compute input duration in microseconds (does not include cached requests)", samples, &out,
         [](const Sample& s) { return us(s.numbers.compute_input); });
  family("nv_inference_compute_infer_duration_us", "counter",
         "Cumulative compute inference duration in microseconds (does not include cached requests)", samples, &out,
         [](const Sample& s) { return us(s.numbers.compute_infer); });
  family("nv_inference_compute_output_duration_us", "counter",
         "Cumulative inference compute output duration in microseconds (does not include cached requests)", samples,
         &out, [](const Sample& s) { return us(s.numbers.compute_output); });
  family("nv_cache_num_hits_per_model", "counter", "Number of cache hits per model", samples, &out,
         [](const Sample& s) { return s.numbers.cache_hit.count; });
  family("nv_cache_num_misses_per_model", "counter", "Number of cache misses per model", samples, &out,
         [](const Sample& s) { return s.numbers.cache_miss.count; });
  family("nv_cache_hit_duration_per_model", "counter", "Total cache hit duration per model, in microseconds", samples,
         &out, [](const Sample& s) { return us(s.numbers.cache_hit); });
  family("nv_cache_miss_duration_per_model", "counter", "Total cache miss duration per model, in microseconds", samples,
         &out, [](const Sample& s) { return us(s.numbers.cache_miss); });
  family("nv_inference_pending_request_count", "gauge",
         "Instantaneous number of pending requests awaiting execution per-model.", samples, &out,
         [](const Sample& s) { return s.pending; });
  family("nv_model_load_duration_secs", "gauge", "Model load time in seconds", samples, &out,
         [](const Sample& s) { return s.load_seconds; });
  histogram(samples, &out);
  batches(samples, &out);
  if (const OtlpExporter* exporter = core.observer.exporter())
    out += fmt::format(
        "# HELP carnot_trace_spans_total Spans for the OpenTelemetry collector\n# TYPE carnot_trace_spans_total "
        "counter\n"
        "carnot_trace_spans_total{{state=\"exported\"}} {}\ncarnot_trace_spans_total{{state=\"dropped\"}} {}\n",
        exporter->exported(), exporter->dropped());
  out += fmt::format(
      "# HELP carnot_cache_bytes Bytes of kept answers\n# TYPE carnot_cache_bytes gauge\ncarnot_cache_bytes {}\n",
      core.repository.cache().bytes());
  memory(&out);
  return out;
}

}  // namespace carnot::serve
