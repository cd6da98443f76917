// SPDX-License-Identifier: Apache-2.0
// carnot._serve: the server for Python, on carnot/server.hpp alone. Tensors pass as flat bytes with a dtype number and
// dims; carnot/serve.py makes numpy arrays of them.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <tuple>

#include "carnot/server.hpp"
#include "errors.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Input = std::tuple<std::string, int, std::vector<int64_t>, Bytes>;

// The callable that makes an engine file of a model file. Servers call it from threads of their own.
std::function<carnot::Engine(const std::string&)> builder(const nb::object& callable) {
  // The last copy may go on a thread that does not hold the GIL.
  std::shared_ptr<PyObject> held(nb::object(callable).release().ptr(), [](PyObject* p) {
    nb::gil_scoped_acquire acquire;
    Py_DECREF(p);
  });
  return [held](const std::string& model) {
    std::string file;
    {
      nb::gil_scoped_acquire acquire;
      try {
        file = nb::cast<std::string>(nb::borrow(held.get())(model));
      } catch (const nb::python_error& e) {
        throw carnot::Exception(CARNOT_INVALID_ARGUMENT, nb::cast<std::string>(nb::str(e.value())));
      } catch (const nb::cast_error&) {
        throw carnot::Exception(CARNOT_INVALID_ARGUMENT, "the server's build function returned no path");
      }
    }
    return carnot::Engine::load(file);
  };
}

template <typename T>
void take(const nb::dict& from, const char* key, T* to) {
  *to = nb::cast<T>(from[key]);
}

template <typename D>
void take_seconds(const nb::dict& from, const char* key, D* to) {
  *to = std::chrono::duration_cast<D>(std::chrono::duration<double>(nb::cast<double>(from[key])));
}

carnot::ServerOptions to_options(const nb::dict& d) {
  carnot::ServerOptions o;
  take(d, "repository", &o.repository);
  take(d, "control", &o.control);
  take(d, "load", &o.load);
  take_seconds(d, "poll_interval", &o.poll_interval);
  if (!d["build"].is_none()) o.build = builder(d["build"]);
  take(d, "http_port", &o.http_port);
  take(d, "grpc_port", &o.grpc_port);
  take(d, "metrics_port", &o.metrics_port);
  take(d, "address", &o.address);
  take(d, "threads", &o.threads);
  take(d, "http_threads", &o.http_threads);
  take(d, "run_threads", &o.run_threads);
  take(d, "max_body", &o.max_body);
  take(d, "max_queue", &o.max_queue);
  take(d, "max_connections", &o.max_connections);
  take_seconds(d, "read_timeout", &o.read_timeout);
  take_seconds(d, "idle_timeout", &o.idle_timeout);
  take(d, "client_shared_memory", &o.client_shared_memory);
  take(d, "shared_memory_prefix", &o.shared_memory_prefix);
  take(d, "tls_certificate", &o.tls_certificate);
  take(d, "tls_key", &o.tls_key);
  take(d, "tls_client_ca", &o.tls_client_ca);
  take(d, "token_file", &o.token_file);
  take(d, "admin_token_file", &o.admin_token_file);
  take(d, "token_for_probes", &o.token_for_probes);
  take(d, "otlp_endpoint", &o.otlp_endpoint);
  take(d, "trace_rate", &o.trace_rate);
  take(d, "web_page", &o.web_page);
  take_seconds(d, "drain_delay", &o.drain_delay);
  take(d, "log_level", &o.log_level);
  take(d, "log_json", &o.log_json);
  return o;
}

nb::tuple to_python(carnot::InferAnswer answer) {
  nb::list outputs;
  for (carnot::InferOutput& out : answer.outputs) {
    auto* data = new std::vector<std::byte>(std::move(out.data));
    nb::capsule owner(data, [](void* p) noexcept { delete static_cast<std::vector<std::byte>*>(p); });
    outputs.append(nb::make_tuple(
        out.name, static_cast<int>(out.dtype), out.dims,
        nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(reinterpret_cast<uint8_t*>(data->data()), {data->size()}, owner)));
  }
  return nb::make_tuple(answer.version, outputs);
}

carnot::InferCall to_call(const std::string& model, const std::vector<Input>& inputs,
                          const std::vector<std::string>& outputs, int64_t version, const std::string& id,
                          uint64_t priority, uint64_t timeout_us) {
  carnot::InferCall call{
      .model = model, .version = version, .id = id, .outputs = outputs, .priority = priority, .timeout_us = timeout_us};
  for (const auto& [name, dtype, dims, data] : inputs) {
    const carnot::TensorRef tensor(static_cast<carnot_dtype>(dtype), dims, const_cast<uint8_t*>(data.data()));
    if (tensor.bytes() != data.size())
      throw carnot::Exception(CARNOT_INVALID_ARGUMENT, "input '" + name + "': the array's bytes do not fit its shape");
    call.inputs.push_back({name, tensor});
  }
  return call;
}

// What a request in flight needs of Python: its arrays, and whom to tell.
struct Pending {
  std::vector<Input> inputs;
  nb::object done;
};

class PyServer {
 public:
  explicit PyServer(const nb::dict& options) : server_(std::make_unique<carnot::Server>(to_options(options))) {}
  ~PyServer() {
    // Requests that still run end with a call into Python.
    nb::gil_scoped_release release;
    server_.reset();
  }
  PyServer(const PyServer&) = delete;
  PyServer& operator=(const PyServer&) = delete;

  nb::tuple infer(const std::string& model, const std::vector<Input>& inputs, const std::vector<std::string>& outputs,
                  int64_t version, const std::string& id, uint64_t priority, uint64_t timeout_us) {
    const carnot::InferCall call = to_call(model, inputs, outputs, version, id, priority, timeout_us);
    carnot::InferAnswer answer;
    {
      nb::gil_scoped_release release;
      answer = server_->infer(call).get();
    }
    return to_python(std::move(answer));
  }

  // done(answer, error text): one of them is None.
  void submit(nb::object done, const std::string& model, std::vector<Input> inputs,
              const std::vector<std::string>& outputs, int64_t version, const std::string& id, uint64_t priority,
              uint64_t timeout_us) {
    const carnot::InferCall call = to_call(model, inputs, outputs, version, id, priority, timeout_us);
    auto pending = std::make_shared<Pending>(Pending{std::move(inputs), std::move(done)});
    const auto finish = [pending](carnot::InferAnswer answer, std::exception_ptr failure) {
      nb::gil_scoped_acquire acquire;
      // Taken out, so that whoever drops `pending` last needs no GIL.
      const Pending mine = std::move(*pending);
      try {
        nb::object result = nb::none(), problem = nb::none();
        if (failure)
          problem = nb::str(text_of(failure).c_str());
        else
          result = to_python(std::move(answer));
        mine.done(result, problem);
      } catch (nb::python_error& e) {
        e.discard_as_unraisable("carnot.serve");
      }
    };
    try {
      nb::gil_scoped_release release;
      server_->infer(call, finish);
    } catch (...) {
      pending->inputs.clear();
      pending->done.reset();
      throw;
    }
  }

  template <auto kMember, typename... Args>
  auto unlocked(Args... args) {
    nb::gil_scoped_release release;
    return (server_.get()->*kMember)(args...);
  }

  nb::list models() {
    nb::list out;
    for (const carnot::ModelState& m : unlocked<&carnot::Server::models>())
      out.append(nb::make_tuple(m.name, m.version, m.state, m.reason));
    return out;
  }
  bool stop(double seconds) {
    return unlocked<&carnot::Server::stop>(std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
  }

 private:
  static std::string text_of(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      return e.what();
    }
  }

  std::unique_ptr<carnot::Server> server_;
};

}  // namespace

NB_MODULE(_serve, m) {
  carnot::python::translate_errors();

  nb::class_<PyServer>(m, "Server")
      .def(nb::init<const nb::dict&>(), "options"_a)
      .def("start", [](PyServer& s) { s.unlocked<&carnot::Server::start>(); })
      .def("ready", [](PyServer& s) { return s.unlocked<&carnot::Server::ready>(); })
      .def("http_port", [](PyServer& s) { return s.unlocked<&carnot::Server::http_port>(); })
      .def("grpc_port", [](PyServer& s) { return s.unlocked<&carnot::Server::grpc_port>(); })
      .def("metrics_port", [](PyServer& s) { return s.unlocked<&carnot::Server::metrics_port>(); })
      .def("infer", &PyServer::infer, "model"_a, "inputs"_a, "outputs"_a, "version"_a, "id"_a, "priority"_a,
           "timeout_us"_a)
      .def("submit", &PyServer::submit, "done"_a, "model"_a, "inputs"_a, "outputs"_a, "version"_a, "id"_a, "priority"_a,
           "timeout_us"_a)
      .def(
          "load", [](PyServer& s, std::string name) { s.unlocked<&carnot::Server::load>(std::move(name)); }, "model"_a)
      .def(
          "unload", [](PyServer& s, std::string name) { s.unlocked<&carnot::Server::unload>(std::move(name)); },
          "model"_a)
      .def("models", &PyServer::models)
      .def("statistics_json", [](PyServer& s) { return s.unlocked<&carnot::Server::statistics_json>(); })
      .def("stop", &PyServer::stop, "timeout"_a);
}
