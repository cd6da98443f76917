// SPDX-License-Identifier: Apache-2.0
// carnot._compiler: building for Python, on carnot/network.hpp alone. carnot/network.py makes it comfortable.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <tuple>

#include "carnot/network.hpp"
#include "errors.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Dims = std::vector<int64_t>;

struct Settings {
  std::string device, precision, effort;
  std::map<std::string, std::tuple<Dims, Dims, Dims>> shapes;
  nb::object progress;
  std::vector<std::string> layer_precision;
  nb::dict more;  // the settings that most builds leave alone
};

template <typename T>
T get_or(const nb::dict& dict, const char* key, T otherwise) {
  return dict.contains(key) ? nb::cast<T>(dict[key]) : otherwise;
}

nb::list to_rows(const std::vector<carnot::CheckResult::Row>& rows) {
  nb::list out;
  for (const auto& r : rows) out.append(nb::make_tuple(r.name, r.where, r.kernel, r.max_abs, r.relative, r.cosine, r.tolerance, r.passed, r.problem));
  return out;
}

carnot::BuildSettings to_settings(const Settings& s) {
  carnot::BuildSettings out{.device = s.device, .precision = s.precision, .layer_precision = s.layer_precision, .effort = s.effort};
  for (const auto& [name, range] : s.shapes) out.shapes[name] = {std::get<0>(range), std::get<1>(range), std::get<2>(range)};
  out.check = get_or(s.more, "check", false);
  out.check_tolerance = get_or(s.more, "check_tolerance", 0.0);
  out.threads = get_or(s.more, "threads", 0);
  out.timing_cache = get_or(s.more, "timing_cache", std::string());
  if (s.more.contains("on_tune"))
    out.on_tune = [call = nb::object(s.more["on_tune"]).ptr()](const carnot::TuneResult& r) {
      nb::gil_scoped_acquire acquire;
      nb::borrow(call)(r.text, r.problems, r.timed, r.cached, r.left, r.won, r.candidates, r.heuristic_ms, r.chosen_ms);
    };
  if (s.more.contains("on_check"))
    out.on_check = [call = nb::object(s.more["on_check"]).ptr()](const carnot::CheckResult& r) {
      nb::gil_scoped_acquire acquire;
      nb::borrow(call)(r.passed, r.text, to_rows(r.outputs), to_rows(r.layers));
    };
  // Signals and callbacks are looked at between steps: Ctrl-C cancels a build.
  out.progress = [progress = s.progress.ptr()](std::string_view phase, double done) {
    nb::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) return false;
    if (progress == Py_None) return true;
    PyObject* answer = PyObject_CallFunction(progress, "sd", std::string(phase).c_str(), done);
    if (!answer) return false;
    const bool stop = answer == Py_False;
    Py_DECREF(answer);
    return !stop;
  };
  return out;
}

// An aligned array, which engines are read from in place. What has been moved is given back on the way: an engine exists once.
nb::object as_array(std::vector<std::byte> bytes) {
  constexpr size_t kStep = 16 << 20, kPage = 64 << 10;
  const size_t size = bytes.size();
  auto* const to = static_cast<std::byte*>(std::aligned_alloc(64, (size + 64) / 64 * 64));
  if (!to) throw std::bad_alloc();
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  uintptr_t given = (begin + kPage - 1) / kPage * kPage;
  for (size_t at = 0; at < size; at += kStep) {
    const size_t end = std::min(size, at + kStep);
    std::memcpy(to + at, bytes.data() + at, end - at);
    const uintptr_t until = (begin + end) / kPage * kPage;
    if (until > given) (void)madvise(reinterpret_cast<void*>(given), until - given, MADV_DONTNEED);
    given = std::max(given, until);
  }
  nb::capsule owner(to, [](void* p) noexcept { std::free(p); });
  return nb::cast(nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(reinterpret_cast<uint8_t*>(to), {size}, owner));
}

// Runs a build without the GIL; an exception raised by a callback or a signal comes before the build's own.
template <typename Fn>
nb::object guarded(Fn&& fn) {
  std::vector<std::byte> bytes;
  try {
    nb::gil_scoped_release release;
    bytes = fn();
  } catch (const carnot::Exception&) {
    if (PyErr_Occurred()) throw nb::python_error();
    throw;
  }
  return as_array(std::move(bytes));
}

using AttributeValue = std::variant<int64_t, double, std::string, Dims, std::vector<double>, std::vector<std::string>>;

carnot::Attributes to_attributes(const std::vector<std::pair<std::string, AttributeValue>>& values, const std::vector<std::pair<std::string, int>>& dtypes) {
  carnot::Attributes out;
  for (const auto& [name, value] : values) std::visit([&, &name = name](const auto& v) { out.emplace_back(name, v); }, value);
  for (const auto& [name, value] : dtypes) out.emplace_back(name, static_cast<carnot_dtype>(value));
  return out;
}

}  // namespace

NB_MODULE(_compiler, m) {
  carnot::python::translate_errors();

  m.def("operators", &carnot::Network::operators);
  m.def("build_onnx_file",
        [](const std::string& path, const std::string& device, const std::string& precision, const std::string& effort,
           const std::map<std::string, std::tuple<Dims, Dims, Dims>>& shapes, nb::object progress,
           const std::vector<std::string>& layer_precision, nb::dict more) {
          const auto settings = to_settings({device, precision, effort, shapes, progress, layer_precision, more});
          return guarded([&] { return carnot::build_onnx(path, settings); });
        },
        "path"_a, "device"_a, "precision"_a, "effort"_a, "shapes"_a, "progress"_a.none(), "layer_precision"_a, "more"_a);
  m.def("build_onnx_bytes",
        [](nb::bytes data, const std::string& device, const std::string& precision, const std::string& effort,
           const std::map<std::string, std::tuple<Dims, Dims, Dims>>& shapes, nb::object progress,
           const std::vector<std::string>& layer_precision, nb::dict more) {
          const auto settings = to_settings({device, precision, effort, shapes, progress, layer_precision, more});
          return guarded([&] { return carnot::build_onnx(data.c_str(), data.size(), settings); });
        },
        "data"_a, "device"_a, "precision"_a, "effort"_a, "shapes"_a, "progress"_a.none(), "layer_precision"_a, "more"_a);

  nb::class_<carnot::Value>(m, "Value")
      .def(nb::init<>())
      .def_prop_ro("name", &carnot::Value::name)
      .def_prop_ro("dtype", [](const carnot::Value& v) { return static_cast<int>(v.dtype()); })
      .def_prop_ro("shape", &carnot::Value::shape);

  nb::class_<carnot::Network>(m, "Network")
      .def(nb::init<const std::string&>(), "name"_a)
      .def("input",
           [](carnot::Network& n, const std::string& name, int dtype, const std::vector<std::variant<int64_t, std::string>>& shape) {
             std::vector<carnot::Extent> extents;
             for (const auto& e : shape) std::visit([&](const auto& v) { extents.emplace_back(v); }, e);
             return n.input(name, static_cast<carnot_dtype>(dtype), extents);
           })
      .def("constant",
           [](carnot::Network& n, int dtype, const Dims& dims, const Bytes& data, const std::string& name) {
             const auto type = static_cast<carnot_dtype>(dtype);
             const carnot::TensorRef tensor(type, dims, const_cast<uint8_t*>(data.data()));
             if (tensor.bytes() != data.size()) throw carnot::Exception(CARNOT_INVALID_ARGUMENT, "the array's bytes do not fit its shape");
             return n.constant(tensor, name);
           })
      .def("output", &carnot::Network::output)
      .def("metadata", &carnot::Network::metadata)
      .def("add",
           [](carnot::Network& n, const std::string& op, const std::vector<carnot::Value>& inputs, const std::vector<std::pair<std::string, AttributeValue>>& values,
              const std::vector<std::pair<std::string, int>>& dtypes, const std::string& name, size_t outputs, const std::vector<carnot::Network*>& bodies) {
             return n.add_many(op, inputs, to_attributes(values, dtypes), {.name = name, .outputs = outputs, .bodies = bodies});
           })
      .def("body", &carnot::Network::body)
      .def("text", &carnot::Network::text)
      .def("build",
           [](const carnot::Network& n, const std::string& device, const std::string& precision, const std::string& effort,
              const std::map<std::string, std::tuple<Dims, Dims, Dims>>& shapes, nb::object progress,
           const std::vector<std::string>& layer_precision, nb::dict more) {
             const auto settings = to_settings({device, precision, effort, shapes, progress, layer_precision, more});
             return guarded([&] { return n.build(settings); });
           },
           "device"_a, "precision"_a, "effort"_a, "shapes"_a, "progress"_a.none(), "layer_precision"_a, "more"_a);
}
