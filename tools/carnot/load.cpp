// SPDX-License-Identifier: Apache-2.0
// carnot load: a load test of a running server, with perf_analyzer's options, table and CSV.
#include "carnot/load.hpp"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "command.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  LoadOptions options;
  std::string protocol = "http", concurrency = "1", rate, distribution = "constant", shared_memory = "none",
              tensors = "binary", csv, json;
  std::vector<std::string> shapes, headers;
  double stability_percent = 10, latency_limit_ms = 0;
  int window_ms = 5000;
  bool allow_failures = false;
};

Result<std::vector<double>> parse_range(const std::string& text, const char* option) {
  double part[3] = {0, 0, 1};
  int parts = 0;
  for (size_t at = 0; at <= text.size(); ++parts) {
    const size_t end = std::min(text.find(':', at), text.size());
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, part[std::min(parts, 2)]);
    if (parts == 3 || error != std::errc() || stop != text.data() + end)
      return fail(Code::kInvalidArgument, "{} '{}': write START, START:END or START:END:STEP", option, text);
    at = end + 1;
  }
  if (parts == 1) part[1] = part[0];
  if (!(part[0] > 0) || part[1] < part[0] || !(part[2] > 0) || (part[1] - part[0]) / part[2] > 10000)
    return fail(Code::kInvalidArgument, "{} '{}': START must be above 0, END not below it, STEP above 0", option, text);
  std::vector<double> levels;
  for (int i = 0; part[0] + i * part[2] <= part[1] * (1 + 1e-9); ++i) levels.push_back(part[0] + i * part[2]);
  return levels;
}

// "NAME:3,224,224"; the name may contain colons.
Status parse_shapes(const std::vector<std::string>& texts, LoadOptions* options) {
  for (const std::string& text : texts) {
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0)
      return fail(Code::kInvalidArgument, "--shape '{}': write NAME:3,224,224", text);
    std::vector<int64_t> dims;
    for (size_t at = colon + 1; at <= text.size();) {
      const size_t end = std::min(text.find_first_of(",x", at), text.size());
      int64_t d = 0;
      const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, d);
      if (error != std::errc() || stop != text.data() + end || d < 0)
        return fail(Code::kInvalidArgument, "--shape '{}': write NAME:3,224,224", text);
      dims.push_back(d);
      at = end + 1;
    }
    options->shapes[text.substr(0, colon)] = dims;
  }
  return {};
}

std::string latency_name(const LoadOptions& o) {
  return o.percentile > 0 ? fmt::format("p{:g}", o.percentile) : std::string("Avg");
}

void print_settings(const Arguments& a) {
  const LoadOptions& o = a.options;
  fmt::print("*** Measurement Settings ***\n  Batch size: {}\n  Service Kind: TRITON\n", o.batch);
  if (o.requests)
    fmt::print("  Sending a total of {} requests\n", o.requests);
  else
    fmt::print(
        "  Using \"time_windows\" mode for stabilization\n  Stabilizing using {} latency and throughput\n"
        "  Measurement window: {} msec\n",
        o.percentile > 0 ? latency_name(o) : "average", a.window_ms);
  if (o.open_loop)
    fmt::print("  Using {} distribution on request generation; latency counts from when a request was due\n",
               o.poisson ? "poisson" : "uniform");
  fmt::print("\n");
}

void print_server(const std::vector<LoadServerSide>& server) {
  for (size_t m = 0; m < server.size(); ++m) {
    const LoadServerSide& s = server[m];
    const std::string indent(m == 0 ? 4 : 8, ' ');
    if (m == 0)
      fmt::print("  Server: \n");
    else
      fmt::print("{}      {}, version {}: \n", m == 1 ? "    Composing models: \n" : "", s.model, s.version);
    fmt::print("{0}Inference count: {1}\n{0}Execution count: {2}\n", indent, s.inferences, s.executions);
    if (s.cache_hits + s.cache_misses > 0)
      fmt::print("{0}Cache hit count: {1}\n{0}Cache miss count: {2}\n", indent, s.cache_hits, s.cache_misses);
    fmt::print("{}Successful request count: {}\n", indent, s.requests);
    const double known = s.queue_us + s.input_us + s.infer_us + s.output_us;
    fmt::print(
        "{}Avg request latency: {:.0f} usec (overhead {:.0f} usec + queue {:.0f} usec + compute input {:.0f} usec + "
        "compute infer {:.0f} usec + compute output {:.0f} usec)\n",
        indent, s.request_us, std::max(0.0, s.request_us - known), s.queue_us, s.input_us, s.infer_us, s.output_us);
  }
}

void print_level(const LoadOptions& o, const LoadResult& r) {
  if (o.open_loop)
    fmt::print("Request Rate: {:g} inference requests per seconds\n", r.level);
  else
    fmt::print("Request concurrency: {:g}\n", r.level);
  fmt::print("  Client: \n    Request count: {}\n", r.requests);
  if (r.failed) fmt::print("    Failed request count: {}\n", r.failed);
  for (const auto& [text, count] : r.errors) fmt::print("      {} x {}\n", count, text);
  if (r.delayed) fmt::print("    Delayed Request Count: {}\n", r.delayed);
  fmt::print("    Throughput: {:.6g} infer/sec\n", r.throughput);
  fmt::print("    Avg latency: {:.0f} usec (standard deviation {:.0f} usec)\n", r.average_us, r.deviation_us);
  if (o.percentile > 0) fmt::print("    {} latency: {:.0f} usec\n", latency_name(o), r.chosen_us);
  fmt::print(
      "    p50 latency: {:.0f} usec\n    p90 latency: {:.0f} usec\n    p95 latency: {:.0f} usec\n    p99 latency: "
      "{:.0f} "
      "usec\n    p99.9 latency: {:.0f} usec\n    max latency: {:.0f} usec\n",
      r.p50_us, r.p90_us, r.p95_us, r.p99_us, r.p999_us, r.max_us);
  if (o.grpc)
    fmt::print("    Avg gRPC time: {:.0f} usec\n", r.wait_us);
  else
    fmt::print("    Avg HTTP time: {:.0f} usec (send/recv {:.0f} usec + response wait {:.0f} usec)\n",
               r.send_us + r.wait_us + r.receive_us, r.send_us + r.receive_us, r.wait_us);
  print_server(r.server);
  if (!o.requests && !r.stable)
    fmt::print("  NOT STABLE: throughput or latency still varied by more than {:g} % after {} windows\n",
               o.stability * 100, o.max_windows);
  fmt::print("\n");
  std::fflush(stdout);
}

void print_summary(const LoadOptions& o, const std::vector<LoadResult>& results) {
  fmt::print("Inferences/Second vs. Client {} Batch Latency\n", o.percentile > 0 ? latency_name(o) : "Average");
  for (const LoadResult& r : results)
    fmt::print("{}: {:g}, throughput: {:.6g} infer/sec, latency {:.0f} usec\n",
               o.open_loop ? "Request Rate" : "Concurrency", r.level, r.throughput, r.chosen_us);
}

Status write_csv(const Arguments& a, const std::vector<LoadResult>& results) {
  std::ofstream out(a.csv);
  out << (a.options.open_loop ? "Request Rate" : "Concurrency")
      << ",Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute "
         "Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency\n";
  for (const LoadResult& r : results) {
    const LoadServerSide s = r.server.empty() ? LoadServerSide() : r.server[0];
    const double inside = s.queue_us + s.input_us + s.infer_us + s.output_us;
    const double network = std::max(0.0, r.average_us - r.send_us - r.receive_us - inside);
    out << fmt::format("{:g},{:.6g},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f}\n",
                       r.level, r.throughput, r.send_us, network, s.queue_us, s.input_us, s.infer_us, s.output_us,
                       r.receive_us, r.p50_us, r.p90_us, r.p95_us, r.p99_us);
  }
  if (!out.flush()) return fail(Code::kIo, "cannot write '{}'", a.csv);
  return {};
}

Status write_json(const Arguments& a, const std::vector<LoadResult>& results) {
  const LoadOptions& o = a.options;
  nlohmann::ordered_json root = {{"model", o.model},
                                 {"protocol", o.grpc ? "grpc" : "http"},
                                 {"batch_size", o.batch},
                                 {"mode", o.open_loop ? o.poisson ? "poisson" : "constant" : "concurrency"},
                                 {"levels", nlohmann::ordered_json::array()}};
  for (const LoadResult& r : results) {
    nlohmann::ordered_json level = {{"level", r.level},
                                    {"stable", r.stable},
                                    {"seconds", r.seconds},
                                    {"requests", r.requests},
                                    {"failed", r.failed},
                                    {"delayed", r.delayed},
                                    {"errors", r.errors},
                                    {"throughput", r.throughput},
                                    {"latency_us",
                                     {{"average", r.average_us},
                                      {"deviation", r.deviation_us},
                                      {"p50", r.p50_us},
                                      {"p90", r.p90_us},
                                      {"p95", r.p95_us},
                                      {"p99", r.p99_us},
                                      {"p99.9", r.p999_us},
                                      {"max", r.max_us}}},
                                    {"send_us", r.send_us},
                                    {"wait_us", r.wait_us},
                                    {"receive_us", r.receive_us},
                                    {"server", nlohmann::ordered_json::array()}};
    for (const LoadServerSide& s : r.server)
      level["server"].push_back({{"model", s.model},
                                 {"version", s.version},
                                 {"inferences", s.inferences},
                                 {"executions", s.executions},
                                 {"requests", s.requests},
                                 {"cache_hits", s.cache_hits},
                                 {"cache_misses", s.cache_misses},
                                 {"request_us", s.request_us},
                                 {"queue_us", s.queue_us},
                                 {"compute_input_us", s.input_us},
                                 {"compute_infer_us", s.infer_us},
                                 {"compute_output_us", s.output_us}});
    root["levels"].push_back(level);
  }
  std::ofstream out(a.json);
  out << root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  if (!out.flush()) return fail(Code::kIo, "cannot write '{}'", a.json);
  return {};
}

Status run(Arguments& a) {
  LoadOptions& o = a.options;
  o.grpc = a.protocol == "grpc" || o.url.starts_with("grpc://");
  o.open_loop = !a.rate.empty();
  o.poisson = a.distribution == "poisson";
  o.shared_memory = a.shared_memory == "system";
  o.json = a.tensors == "json";
  o.window = std::chrono::milliseconds(a.window_ms);
  o.stability = a.stability_percent / 100;
  o.interrupted = interrupted;
  auto levels =
      o.open_loop ? parse_range(a.rate, "--request-rate-range") : parse_range(a.concurrency, "--concurrency-range");
  if (!levels) return levels.error();
  if (auto parsed = parse_shapes(a.shapes, &o); !parsed) return parsed;
  for (const std::string& header : a.headers) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos || colon == 0 || header.find_first_of("\r\n") != std::string::npos)
      return fail(Code::kInvalidArgument, "--header '{}': write NAME:VALUE", header);
    const size_t value = header.find_first_not_of(' ', colon + 1);
    o.headers.emplace_back(header.substr(0, colon), value == std::string::npos ? "" : header.substr(value));
  }
  LoadTest test(o);
  print_settings(a);
  std::vector<LoadResult> results;
  uint64_t failed = 0;
  for (double level : *levels) {
    results.push_back(test.measure(level));
    print_level(o, results.back());
    failed += results.back().failed;
    if (interrupted()) break;
    if (a.latency_limit_ms > 0 && results.back().chosen_us > a.latency_limit_ms * 1000) {
      fmt::print("The latency limit of {:g} ms is passed: no further levels.\n\n", a.latency_limit_ms);
      break;
    }
  }
  print_summary(o, results);
  if (!a.csv.empty())
    if (auto written = write_csv(a, results); !written) return written;
  if (!a.json.empty())
    if (auto written = write_json(a, results); !written) return written;
  if (failed && !a.allow_failures)
    return fail(Code::kInvalidArgument, "{} requests failed (above); --allow-failures takes that as a result", failed);
  return {};
}

}  // namespace

void add_load(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  LoadOptions& o = a->options;
  CLI::App* c = app.add_subcommand(
      "load", "Load test of a running server (KServe v2): throughput, latency percentiles, the server's own figures");
  c->add_option("url,-u,--url", o.url, "[http://|grpc://]HOST:PORT")->default_val("localhost:8000");
  c->add_option("-m,--model,--model-name", o.model, "name of the model")->required();
  c->add_option("-x,--model-version", o.version, "version of the model (default: the server's choice)");
  c->add_option("-i,--protocol", a->protocol, "http or grpc")
      ->transform(CLI::IsMember({"http", "grpc"}, CLI::ignore_case))
      ->capture_default_str();
  c->add_option("-b,--batch-size", o.batch, "items of a request")->capture_default_str();
  auto* concurrency = c->add_option("--concurrency-range,--concurrency", a->concurrency,
                                    "closed loop: requests under way, START[:END[:STEP]]")
                          ->capture_default_str();
  c->add_option("--request-rate-range,--rate", a->rate,
                "open loop: requests a second, START[:END[:STEP]]; latency counts from when a request was due")
      ->excludes(concurrency);
  c->add_option("--request-distribution", a->distribution, "open loop: constant gaps or poisson")
      ->check(CLI::IsMember({"constant", "poisson"}))
      ->capture_default_str();
  c->add_option("--connections", o.connections, "open loop: requests under way at most")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  c->add_option("--input-data", o.data,
                "random, zero, a JSON file {\"data\": [{NAME: [..]}]}, or a folder of raw files")
      ->capture_default_str();
  c->add_option("--samples", o.samples, "with random data: different requests")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  c->add_option("--random-seed", o.seed, "of data and of poisson gaps")->capture_default_str();
  c->add_option("--shape", a->shapes, "NAME:3,224,224, the open dims of an input, without the batch dim");
  c->add_option("--shared-memory", a->shared_memory, "none or system: tensors in memory shared with the server")
      ->check(CLI::IsMember({"none", "system"}))
      ->capture_default_str();
  c->add_option("--output-shared-memory-size", o.output_bytes, "bytes of an output whose size is open")
      ->capture_default_str();
  c->add_option("--input-tensor-format,--tensor-format", a->tensors, "HTTP: binary or json")
      ->check(CLI::IsMember({"binary", "json"}))
      ->capture_default_str();
  c->add_option("--sequence-length", o.sequence_length, "requests of a sequence, for models that batch sequences")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  c->add_option("-H,--header", a->headers, "NAME:VALUE sent with each request, for example Authorization:Bearer TOKEN");
  c->add_option("--threads", o.threads, "of this client")->capture_default_str();
  c->add_option("--warmup-request-count", o.warmup_requests, "requests before each level that do not count")
      ->capture_default_str();
  c->add_option("--request-count", o.requests, "measure exactly so many requests instead of windows");
  c->add_option("-p,--measurement-interval", a->window_ms, "milliseconds of a window")
      ->check(CLI::Range(10, 3600000))
      ->capture_default_str();
  c->add_option("-s,--stability-percentage", a->stability_percent,
                "stable: throughput and latency of three windows lie so close to their mean")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("-r,--max-trials", o.max_windows, "windows at most")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  c->add_option("--percentile", o.percentile, "the latency that is compared and summed up (default: the average)")
      ->check(CLI::Range(1.0, 100.0));
  c->add_option("-l,--latency-threshold", a->latency_limit_ms, "milliseconds: no further levels once it is passed");
  c->add_flag("--allow-failures", a->allow_failures, "exit code 0 even if requests failed");
  c->add_option("-f,--csv", a->csv, "file for the table as CSV");
  c->add_option("--json", a->json, "file for everything as JSON");
  c->callback([a, exit_code] {
    Status status = run(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
