// SPDX-License-Identifier: Apache-2.0
// What the modules beside carnot._runtime share: one class of errors, that of carnot._runtime.
#pragma once
#include <nanobind/nanobind.h>

#include "carnot/carnot.hpp"

namespace carnot::python {

inline void translate_errors() {
  nanobind::register_exception_translator(
      [](const std::exception_ptr& p, void*) {
        try {
          std::rethrow_exception(p);
        } catch (const carnot::Exception& e) {
          const nanobind::object error = nanobind::module_::import_("carnot._runtime").attr("Error");
          PyErr_SetString(error.ptr(), e.what());
        }
      },
      nullptr);
}

}  // namespace carnot::python
