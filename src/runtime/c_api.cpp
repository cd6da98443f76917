// SPDX-License-Identifier: Apache-2.0
// The C ABI over LoadedEngine and Frame. Nothing throws across it: out-of-memory becomes a status.
#include <algorithm>
#include <new>

#include "base/log.hpp"
#include "carnot/carnot.h"
#include "runtime/frame.hpp"
#include "runtime/json.hpp"

using carnot::Code;
using carnot::Error;
using carnot::TensorView;
using carnot::runtime::Context;
using carnot::runtime::Frame;
using carnot::runtime::LoadedEngine;

namespace {

thread_local std::string last_error;

carnot_status report(const Error& error) {
  last_error = error.message;
  return static_cast<carnot_status>(error.code);
}

template <typename Fn>
carnot_status guarded(Fn&& fn) {
  try {
    const carnot::Status status = fn();
    return status ? CARNOT_OK : report(status.error());
  } catch (const std::bad_alloc&) {
    return report({Code::kOutOfMemory, "out of memory"});
  } catch (const std::exception& e) {
    return report({Code::kInternal, e.what()});
  }
}

struct IoText {
  std::vector<int64_t> dims;
  std::vector<std::string> texts;
  std::vector<const char*> names;
};

IoText describe(const carnot::Shape& shape) {
  IoText io;
  for (const carnot::Dim& d : shape) {
    io.dims.push_back(d.is_constant() ? d.value() : -1);
    io.texts.push_back(d.str());
  }
  for (const std::string& t : io.texts) io.names.push_back(t.c_str());
  return io;
}

}  // namespace

struct carnot_engine {
  std::shared_ptr<const LoadedEngine> loaded;
  std::vector<IoText> inputs, outputs;
  std::string description;

  explicit carnot_engine(std::shared_ptr<const LoadedEngine> engine) : loaded(std::move(engine)) {
    const auto& plan = loaded->program().plans[0];
    // Reserved first: names point into texts, which must not move.
    inputs.reserve(plan.inputs.size());
    outputs.reserve(plan.outputs.size());
    for (int32_t b : plan.inputs) inputs.push_back(describe(plan.buffers[static_cast<size_t>(b)].shape));
    for (int32_t b : plan.outputs) outputs.push_back(describe(plan.buffers[static_cast<size_t>(b)].shape));
    description = loaded->describe_json();
  }
};

struct carnot_session {
  Context context;
  std::unique_ptr<Frame> frame;
  std::vector<TensorView> inputs;
  std::vector<bool> given;
  std::vector<void*> bound;
  std::vector<size_t> bound_bytes;
  bool ran = false;
  std::string profile;
};

namespace {

carnot::Result<size_t> find_name(const std::vector<std::string>& names, const char* name, std::string_view what) {
  if (!name) return carnot::invalid("the name of an {} is NULL", what);
  auto it = std::find(names.begin(), names.end(), name);
  if (it != names.end()) return static_cast<size_t>(it - names.begin());
  std::string list;
  for (const std::string& n : names) list += (list.empty() ? "'" : ", '") + n + "'";
  return carnot::fail(Code::kNotFound, "there is no {} '{}'; there are {}", what, name, list.empty() ? "none" : list);
}

carnot_status fill(const carnot_engine* engine, size_t index, bool input, carnot_io* io) {
  return guarded([&]() -> carnot::Status {
    if (!engine || !io) return carnot::invalid("engine or io is NULL");
    const auto& program = engine->loaded->program();
    const auto& names = input ? program.input_names : program.output_names;
    if (index >= names.size()) return carnot::invalid("there are {} {}s, {} was asked for", names.size(), input ? "input" : "output", index);
    const auto& texts = (input ? engine->inputs : engine->outputs)[index];
    const auto& plan = program.plans[0];
    const auto b = static_cast<size_t>((input ? plan.inputs : plan.outputs)[index]);
    *io = {names[index].c_str(), static_cast<carnot_dtype>(plan.buffers[b].dtype), texts.dims.size(), texts.dims.data(), texts.names.data()};
    return {};
  });
}

carnot::Status check_memory(const carnot_session* session, carnot_memory memory) {
  if (memory != CARNOT_MEMORY_HOST && memory != CARNOT_MEMORY_DEVICE) return carnot::invalid("unknown memory {}", static_cast<int>(memory));
  if (memory == CARNOT_MEMORY_DEVICE && !session->context.on_device)
    return carnot::invalid("the engine was built for the CPU: it takes and gives memory of the host; build it with --device cuda");
  return {};
}

carnot_status run_session(carnot_session* session, bool asynchronous) {
  return guarded([&]() -> carnot::Status {
    if (!session) return carnot::invalid("session is NULL");
    session->ran = false;
    for (size_t i = 0; i < session->given.size(); ++i)
      if (!session->given[i]) return carnot::invalid("input '{}' has not been set", session->context.engine->program().input_names[i]);
    session->context.asynchronous = asynchronous;
    CARNOT_RETURN_IF_ERROR(session->frame->run(session->inputs, session->bound, session->bound_bytes, nullptr));
    session->ran = true;
    return {};
  });
}

}  // namespace

extern "C" {

const char* carnot_version(void) { return "0.1.0"; }
const char* carnot_last_error(void) { return last_error.c_str(); }
size_t carnot_dtype_size(carnot_dtype dtype) { return carnot::dtype_size(static_cast<carnot::DType>(dtype)); }
const char* carnot_dtype_name(carnot_dtype dtype) { return carnot::dtype_name(static_cast<carnot::DType>(dtype)).data(); }
void carnot_set_log(carnot_log_fn fn, void* user) { carnot::log::set_sink(fn, user); }

carnot_status carnot_engine_load(const char* path, carnot_engine** engine) {
  return guarded([&]() -> carnot::Status {
    if (!path || !engine) return carnot::invalid("path or engine is NULL");
    CARNOT_ASSIGN(auto loaded, LoadedEngine::load(path));
    *engine = new carnot_engine(std::move(loaded));
    return {};
  });
}

carnot_status carnot_engine_load_memory(const void* bytes, size_t size, carnot_engine** engine) {
  return guarded([&]() -> carnot::Status {
    if (!bytes || !engine) return carnot::invalid("bytes or engine is NULL");
    CARNOT_ASSIGN(auto image, carnot::engine::read_bytes({static_cast<const std::byte*>(bytes), size}, nullptr));
    CARNOT_ASSIGN(auto loaded, LoadedEngine::create(std::move(image)));
    *engine = new carnot_engine(std::move(loaded));
    return {};
  });
}

void carnot_engine_release(carnot_engine* engine) { delete engine; }
size_t carnot_engine_input_count(const carnot_engine* engine) { return engine ? engine->inputs.size() : 0; }
size_t carnot_engine_output_count(const carnot_engine* engine) { return engine ? engine->outputs.size() : 0; }
carnot_status carnot_engine_input(const carnot_engine* engine, size_t index, carnot_io* io) { return fill(engine, index, true, io); }
carnot_status carnot_engine_output(const carnot_engine* engine, size_t index, carnot_io* io) { return fill(engine, index, false, io); }

carnot_status carnot_engine_input_range(const carnot_engine* engine, size_t index, carnot_range* range) {
  return guarded([&]() -> carnot::Status {
    if (!engine || !range) return carnot::invalid("engine or range is NULL");
    const auto& program = engine->loaded->program();
    if (index >= program.input_names.size()) return carnot::invalid("there are {} inputs, {} was asked for", program.input_names.size(), index);
    const auto* known = program.range_of(index);
    *range = known ? carnot_range{known->max.size(), known->min.data(), known->opt.data(), known->max.data()} : carnot_range{};
    return {};
  });
}

const char* carnot_engine_metadata(const carnot_engine* engine, const char* key) {
  if (!engine || !key) return nullptr;
  const auto& metadata = engine->loaded->program().metadata;
  auto it = metadata.find(key);
  return it == metadata.end() ? nullptr : it->second.c_str();
}

const char* carnot_engine_describe_json(const carnot_engine* engine) { return engine ? engine->description.c_str() : "{}"; }

carnot_status carnot_engine_memory_json(const carnot_engine* engine, const carnot_tensor* inputs, size_t count, int threads, const char** json) {
  return guarded([&]() -> carnot::Status {
    if (!engine || !json || (count > 0 && !inputs)) return carnot::invalid("engine, inputs or json is NULL");
    if (threads < 0 || threads > 1024) return carnot::invalid("threads must lie in [0, 1024], got {}", threads);
    std::vector<TensorView> views(count);
    for (size_t i = 0; i < count; ++i) {
      if (inputs[i].rank > 0 && !inputs[i].dims) return carnot::invalid("the dims of input {} are NULL", i);
      views[i].dims.assign(inputs[i].dims, inputs[i].dims + inputs[i].rank);
    }
    static thread_local std::string text;
    CARNOT_ASSIGN(text, carnot::runtime::memory_json(engine->loaded, views, carnot::shared_thread_pool(threads)));
    *json = text.c_str();
    return {};
  });
}

carnot_status carnot_session_create(const carnot_engine* engine, const carnot_session_options* options, carnot_session** session) {
  return guarded([&]() -> carnot::Status {
    if (!engine || !session) return carnot::invalid("engine or session is NULL");
    carnot_session_options o{};
    // An older caller's struct is shorter: what it does not have keeps its default.
    if (options) std::memcpy(&o, options, std::min(options->struct_size, sizeof(o)));
    if (o.threads < 0 || o.threads > 1024) return carnot::invalid("threads must lie in [0, 1024], got {}", o.threads);
    auto s = std::make_unique<carnot_session>();
    s->context.engine = engine->loaded;
    s->context.pool = carnot::shared_thread_pool(o.threads);
    s->context.memory_limit = o.memory_limit;
    s->context.profile = o.profile != 0;
    CARNOT_ASSIGN(s->context.on_device, engine->loaded->on_device(o.device ? o.device : ""));
    if (s->context.on_device) {
      CARNOT_ASSIGN(s->context.stream, o.stream ? s->context.on_device->device().wrap_stream(o.stream) : s->context.on_device->device().make_stream());
    }
    s->context.input_on_device.assign(engine->inputs.size(), false);
    s->context.output_on_device.assign(engine->outputs.size(), false);
    s->frame = std::make_unique<Frame>(s->context, 0);
    if (carnot::Status reserved = s->frame->reserve(); !reserved)
      return std::move(reserved.error()).within("for the largest inputs of the ranges that the engine was built for");
    s->inputs.resize(engine->inputs.size());
    s->given.assign(engine->inputs.size(), false);
    s->bound.assign(engine->outputs.size(), nullptr);
    s->bound_bytes.assign(engine->outputs.size(), 0);
    *session = s.release();
    return {};
  });
}

void carnot_session_release(carnot_session* session) { delete session; }

carnot_status carnot_session_set_input(carnot_session* session, const char* name, const carnot_tensor* tensor) {
  return carnot_session_set_input_in(session, name, tensor, CARNOT_MEMORY_HOST);
}

carnot_status carnot_session_set_input_in(carnot_session* session, const char* name, const carnot_tensor* tensor, carnot_memory memory) {
  return guarded([&]() -> carnot::Status {
    if (!session || !tensor) return carnot::invalid("session or tensor is NULL");
    CARNOT_ASSIGN(const size_t i, find_name(session->context.engine->program().input_names, name, "input"));
    TensorView& view = session->inputs[i];
    if (tensor->rank > 64 || (tensor->rank > 0 && !tensor->dims)) return carnot::invalid("input '{}': no dims", name);
    view.dtype = static_cast<carnot::DType>(tensor->dtype);
    view.dims.assign(tensor->dims, tensor->dims + tensor->rank);
    view.data = tensor->data;
    session->given[i] = false;
    CARNOT_RETURN_IF_ERROR(check_memory(session, memory));
    session->context.input_on_device[i] = memory == CARNOT_MEMORY_DEVICE;
    auto size = carnot::checked_size(view.dims);
    if (!size) return std::move(size.error()).within(fmt::format("input '{}'", name));
    if (carnot::dtype_size(view.dtype) == 0) return carnot::invalid("input '{}': unknown dtype {}", name, static_cast<int>(tensor->dtype));
    if (view.bytes() > tensor->bytes)
      return carnot::invalid("input '{}': shape {} of {} takes {} bytes, the memory given holds {}", name, carnot::to_string(view.dims),
                             carnot::dtype_name(view.dtype), view.bytes(), tensor->bytes);
    if (view.bytes() > 0 && !view.data) return carnot::invalid("input '{}': data is NULL", name);
    session->given[i] = true;
    return {};
  });
}

carnot_status carnot_session_set_output(carnot_session* session, const char* name, const carnot_tensor* tensor) {
  return carnot_session_set_output_in(session, name, tensor, CARNOT_MEMORY_HOST);
}

carnot_status carnot_session_set_output_in(carnot_session* session, const char* name, const carnot_tensor* tensor, carnot_memory memory) {
  return guarded([&]() -> carnot::Status {
    if (!session) return carnot::invalid("session is NULL");
    CARNOT_ASSIGN(const size_t i, find_name(session->context.engine->program().output_names, name, "output"));
    CARNOT_RETURN_IF_ERROR(check_memory(session, memory));
    session->context.output_on_device[i] = tensor && memory == CARNOT_MEMORY_DEVICE;
    session->bound[i] = tensor ? tensor->data : nullptr;
    session->bound_bytes[i] = tensor ? tensor->bytes : 0;
    return {};
  });
}

carnot_status carnot_session_run(carnot_session* session) { return run_session(session, false); }
carnot_status carnot_session_enqueue(carnot_session* session) { return run_session(session, true); }

carnot_status carnot_session_wait(carnot_session* session) {
  return guarded([&]() -> carnot::Status {
    if (!session) return carnot::invalid("session is NULL");
    return session->context.wait();
  });
}

carnot_status carnot_session_get_output(carnot_session* session, const char* name, carnot_tensor* tensor) {
  return guarded([&]() -> carnot::Status {
    if (!session || !tensor) return carnot::invalid("session or tensor is NULL");
    CARNOT_ASSIGN(const size_t i, find_name(session->context.engine->program().output_names, name, "output"));
    if (!session->ran) return carnot::invalid("output '{}' is not there: the session has not run, or its last run failed", name);
    const TensorView& view = session->frame->output(i);
    *tensor = {static_cast<carnot_dtype>(view.dtype), view.rank(), view.dims.data(), session->bound[i] ? session->bound[i] : view.data, view.bytes()};
    return {};
  });
}

size_t carnot_session_memory(const carnot_session* session) { return session ? session->context.memory_used : 0; }

const char* carnot_session_profile_json(carnot_session* session) {
  if (!session) return "[]";
  carnot::runtime::JsonWriter json;
  json.begin_array();
  const auto& plan = session->context.engine->program().plans[0];
  const auto& timings = session->frame->timings();
  for (size_t c = 0; c < timings.size(); ++c) {
    json.begin_object();
    json.field("kernel", plan.commands[c].kernel);
    json.field("where", plan.commands[c].where);
    json.field("calls", timings[c].calls);
    json.field("microseconds", timings[c].calls ? static_cast<double>(timings[c].nanoseconds) / 1e3 / static_cast<double>(timings[c].calls) : 0.0);
    json.end_object();
  }
  json.end_array();
  session->profile = json.take();
  return session->profile.c_str();
}

}  // extern "C"
