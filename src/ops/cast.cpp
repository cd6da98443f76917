// SPDX-License-Identifier: Apache-2.0
#include "ops/cast.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "ops/support_elements.hpp"

namespace carnot::ops {

namespace {
// The values that survive: integers that any integer type holds as they are. Sizes are taken to fit 32 bits, as everywhere in ONNX models
// that pass shapes through int32.
bool keeps_values(DType from, DType to) {
  auto wide = [](DType t) { return t == DType::kI64 || t == DType::kI32; };
  return (wide(from) || from == DType::kBool) && wide(to);
}

Status parse_strings(const TensorView& x, TensorView& y) {
  const auto* from = x.as<std::string>();
  for (int64_t i = 0, n = x.size(); i < n; ++i) {
    const char* text = from[i].c_str();
    char* end = nullptr;
    if (is_integer(y.dtype)) {
      const int64_t value = std::strtoll(text, &end, 10);
      if (end != text && *end == 0) {
        store_elements(&value, 1, y.dtype, y.data, i);
        continue;
      }
    }
    const double value = std::strtod(text, &end);
    if (end == text || *end != 0) return invalid("input 0 holds the string '{}', which is no number", from[i]);
    store_elements(&value, 1, y.dtype, y.data, i);
  }
  return {};
}

void print_strings(const TensorView& x, TensorView& y) {
  auto* to = y.as<std::string>();
  dispatch_compute(compute_type(x.dtype), [&](auto tag) {
    using C = typename decltype(tag)::type;
    for (int64_t i = 0, n = x.size(); i < n; ++i) {
      C value;
      load_elements(x.dtype, x.data, i, 1, 1, &value);
      if constexpr (std::is_floating_point_v<C>) {
        to[i] = std::isnan(value) ? "NaN" : std::isinf(value) ? (value < 0 ? "-INF" : "INF") : fmt::format("{}", value);
      } else {
        to[i] = fmt::format("{}", value);
      }
    }
  });
}
}  // namespace

Result<Facts> Cast::infer(const InferCtx& ctx) const {
  if (to == DType::kInvalid) return invalid("attribute 'to' names no type");
  ValueFacts out{to, ctx.shape(0)};
  if (auto values = ctx.values(0)) {
    if (to == DType::kBool) {
      // A size may be 0, so only what is proven nonzero is true.
      const bool known = std::all_of(values->begin(), values->end(), [](const Dim& d) { return d.is_constant() || d.lower_bound().value_or(0) > 0; });
      if (known) {
        for (Dim& d : *values) d = d.is(0) ? 0 : 1;
        out.values = std::move(values);
      }
    } else if (keeps_values(ctx.dtype(0), to)) {
      const bool narrow = to == DType::kI32 && ctx.dtype(0) == DType::kI64;
      const bool fits = !narrow || std::all_of(values->begin(), values->end(), [](const Dim& d) {
        return !d.is_constant() || static_cast<int32_t>(d.value()) == d.value();
      });
      if (fits) out.values = std::move(values);
    }
  }
  return Facts{std::move(out)};
}

Status Cast::evaluate(EvalCtx& ctx) const {
  constexpr int64_t kBlock = 256;
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  if (x.dtype == DType::kString && y.dtype == DType::kString) {
    std::copy_n(x.as<std::string>(), x.size(), y.as<std::string>());
    return {};
  }
  if (x.dtype == DType::kString) return parse_strings(x, y);
  if (y.dtype == DType::kString) return print_strings(x, y), Status();
  dispatch_compute(compute_type(x.dtype), [&](auto tag) {
    using C = typename decltype(tag)::type;
    C block[kBlock];
    for (int64_t i = 0, size = x.size(); i < size; i += kBlock) {
      const int64_t n = std::min(kBlock, size - i);
      load_elements(x.dtype, x.data, i, 1, n, block);
      store_elements(block, n, y.dtype, y.data, i);
    }
  });
  return {};
}

CARNOT_DEFINE_OPS(cast, Cast)

}  // namespace carnot::ops
