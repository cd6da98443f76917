// SPDX-License-Identifier: Apache-2.0
#include "core/observer.hpp"

#include "core/log.hpp"

namespace carnot::serve {
namespace {

int64_t us(Clock::duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); }

bool ran(const Job& job) { return job.times.start != Clock::time_point(); }

}  // namespace

Observer::Observer(const std::string& otlp_endpoint, uint32_t trace_rate)
    : settings(!otlp_endpoint.empty(), trace_rate),
      exporter_(otlp_endpoint.empty() ? nullptr : std::make_unique<OtlpExporter>(otlp_endpoint)) {}

void Observer::begin(Job& job, std::string_view traceparent, std::string_view tracestate) {
  if (traceparent.empty() && !exporter_) return;
  std::optional<TraceContext> context;
  if (!traceparent.empty()) context = parse_traceparent(traceparent, tracestate);
  const bool sampled = settings.sample(job.request.model, context ? &*context : nullptr);
  if (!context && !sampled) return;
  if (!context) context = TraceContext{.trace_id = random_hex(32), .span_id = random_hex(16)};
  // A caller's flag is passed on as it came: others of its trace are recorded elsewhere.
  if (!context->from_caller) context->sampled = sampled;
  job.exported = sampled;
  job.trace = std::make_unique<TraceContext>(std::move(*context));
}

void Observer::end(const Job& job, const InferReply& reply, std::string_view protocol) {
  const bool ours = reply.fault && reply.fault->kind == Kind::kInternal;
  const bool logged = log::enabled(ours ? log::Level::kError : log::Level::kVerbose);
  if (!logged && !job.exported) return;
  const auto now = Clock::now();
  if (logged) log(job, reply, protocol, now);
  if (job.exported) trace(job, reply, protocol, now);
}

void Observer::log(const Job& job, const InferReply& reply, std::string_view protocol, Clock::time_point now) const {
  const bool failed = reply.fault != nullptr;
  std::vector<log::Field> fields;
  if (!job.request.id.empty()) fields.push_back({"request_id", job.request.id});
  fields.push_back({"model", job.request.model});
  if (!failed) fields.push_back({"version", reply.version});
  fields.push_back({"protocol", std::string(protocol)});
  fields.push_back({"status", std::string(failed ? kind_name(reply.fault->kind) : "ok")});
  if (failed) fields.push_back({"error", reply.fault->text});
  if (ran(job)) {
    fields.push_back({"batch", job.times.batch});
    fields.push_back({"queue_us", us(job.times.start - job.queued)});
    fields.push_back({"compute_us", us(job.times.end - job.times.start)});
  }
  fields.push_back({"total_us", us(now - job.received)});
  if (job.trace) {
    fields.push_back({"trace_id", job.trace->trace_id});
    fields.push_back({"span_id", job.trace->span_id});
  }
  const bool ours = failed && reply.fault->kind == Kind::kInternal;
  log::write(ours ? log::Level::kError : log::Level::kVerbose, "infer", fields);
}

void Observer::trace(const Job& job, const InferReply& reply, std::string_view protocol, Clock::time_point now) {
  const auto offset = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::system_clock::now().time_since_epoch() - now.time_since_epoch());
  const auto wall = [&](Clock::time_point t) { return static_cast<uint64_t>((t.time_since_epoch() + offset).count()); };
  const TraceContext& context = *job.trace;
  std::vector<Span> spans;
  const auto add = [&](const char* name, Clock::time_point start, Clock::time_point end) -> Span& {
    return spans.emplace_back(Span{.trace_id = context.trace_id,
                                   .span_id = spans.empty() ? context.span_id : random_hex(16),
                                   .parent_id = spans.empty() ? context.parent_id : context.span_id,
                                   .state = context.state,
                                   .name = name,
                                   .server = spans.empty(),
                                   .start_ns = wall(start),
                                   .end_ns = wall(end)});
  };
  spans.reserve(5);
  Span& request = add("infer", job.received, now);
  request.texts = {{"model.name", job.request.model}, {"rpc.system", std::string(protocol)}};
  if (!job.request.id.empty()) request.texts.emplace_back("request.id", job.request.id);
  if (reply.fault)
    request.problem = reply.fault->text;
  else
    request.numbers = {{"model.version", reply.version}, {"request.batch", job.batch}};
  if (ran(job)) {
    add("queue", job.queued, job.times.start);
    add("compute_input", job.times.start, job.times.input_end);
    add("compute", job.times.input_end, job.times.infer_end).numbers = {{"batch", job.times.batch}};
    add("compute_output", job.times.infer_end, job.times.end);
  }
  exporter_->add(std::move(spans));
}

}  // namespace carnot::serve
