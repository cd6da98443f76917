// SPDX-License-Identifier: Apache-2.0
// carnot._runtime: engines and sessions for Python, on the C ABI alone. Tensors pass as flat bytes with a dtype number and dims;
// carnot/engine.py makes numpy arrays of them.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>

#include "carnot/carnot.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Free>;

Memory aligned_copy(const void* data, size_t size) {
  Memory memory(std::aligned_alloc(64, (std::max<size_t>(size, 1) + 63) / 64 * 64));
  if (!memory) throw std::bad_alloc();
  if (size > 0) std::memcpy(memory.get(), data, size);
  return memory;
}

nb::object as_array(Memory memory, size_t size) {
  void* data = memory.get();
  nb::capsule owner(memory.release(), [](void* p) noexcept { std::free(p); });
  return nb::cast(nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(static_cast<uint8_t*>(data), {size}, owner));
}

// An engine and, when it was not loaded from a file, its bytes.
struct PyEngine {
  Bytes bytes;  // what they were given as, where that is aligned ...
  Memory copy;  // ... else a copy
  size_t size = 0;
  carnot::Engine engine;

  static PyEngine* load(const std::string& path) {
    nb::gil_scoped_release release;
    return new PyEngine{Bytes(), nullptr, 0, carnot::Engine::load(path)};
  }
  static PyEngine* from_bytes(const Bytes& data) {
    const bool aligned = reinterpret_cast<uintptr_t>(data.data()) % 64 == 0;
    auto [copy, engine] = [&] {
      nb::gil_scoped_release release;
      Memory memory = aligned ? nullptr : aligned_copy(data.data(), data.size());
      carnot::Engine loaded = carnot::Engine::load(aligned ? static_cast<const void*>(data.data()) : memory.get(), data.size());
      return std::pair(std::move(memory), std::move(loaded));
    }();
    return new PyEngine{aligned ? data : Bytes(), std::move(copy), data.size(), std::move(engine)};
  }
  nb::bytes raw() const { return nb::bytes(copy ? static_cast<const char*>(copy.get()) : reinterpret_cast<const char*>(bytes.data()), size); }
};

nb::list describe(const std::vector<carnot::IoInfo>& ios) {
  nb::list out;
  for (const auto& io : ios) out.append(nb::make_tuple(io.name, static_cast<int>(io.dtype), io.dims, io.dim_names, io.min, io.opt, io.max));
  return out;
}

class PySession {
 public:
  PySession(const PyEngine& engine, int threads, size_t memory_limit, bool profile)
      : session_(engine.engine, {threads, memory_limit, profile}), outputs_(engine.engine.outputs()) {}

  using Input = std::tuple<std::string, int, std::vector<int64_t>, Bytes>;
  nb::list run(const std::vector<Input>& inputs) {
    for (const auto& [name, dtype, dims, data] : inputs) {
      const carnot_tensor tensor{static_cast<carnot_dtype>(dtype), dims.size(), dims.data(), const_cast<uint8_t*>(data.data()), data.size()};
      carnot::check(carnot_session_set_input(session_.get(), name.c_str(), &tensor));
    }
    {
      nb::gil_scoped_release release;
      session_.run();
    }
    nb::list out;
    for (const auto& io : outputs_) {
      const carnot::TensorRef t = session_.output(io.name);
      out.append(nb::make_tuple(io.name, static_cast<int>(t.dtype()), t.dims(), as_array(aligned_copy(t.raw(), t.bytes()), t.bytes())));
    }
    return out;
  }
  size_t memory() const { return session_.memory(); }
  std::string profile() { return session_.profile_json(); }

 private:
  carnot::Session session_;
  std::vector<carnot::IoInfo> outputs_;
};

}  // namespace

NB_MODULE(_runtime, m) {
  nb::exception<carnot::Exception>(m, "Error");
  m.attr("version") = carnot_version();
  nb::class_<PyEngine>(m, "Engine")
      .def_static("load", &PyEngine::load, "path"_a, nb::rv_policy::take_ownership)
      .def_static("from_bytes", &PyEngine::from_bytes, "data"_a, nb::rv_policy::take_ownership)
      .def("raw", &PyEngine::raw)
      .def("inputs", [](const PyEngine& e) { return describe(e.engine.inputs()); })
      .def("outputs", [](const PyEngine& e) { return describe(e.engine.outputs()); })
      .def("describe_json", [](const PyEngine& e) { return e.engine.describe_json(); })
      .def("memory_json", [](const PyEngine& e, const std::vector<std::vector<int64_t>>& shapes, int threads) { return e.engine.memory_json(shapes, threads); })
      .def("metadata", [](const PyEngine& e, const std::string& key) -> nb::object {
        const char* text = carnot_engine_metadata(e.engine.get(), key.c_str());
        return text ? nb::object(nb::str(text)) : nb::object(nb::none());
      });
  nb::class_<PySession>(m, "Session")
      .def(nb::init<const PyEngine&, int, size_t, bool>(), "engine"_a, "threads"_a, "memory_limit"_a, "profile"_a, nb::keep_alive<1, 2>())
      .def("run", &PySession::run)
      .def("memory", &PySession::memory)
      .def("profile_json", &PySession::profile);
}
