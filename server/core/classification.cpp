// SPDX-License-Identifier: Apache-2.0
#include "core/classification.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace carnot::serve {
namespace {

template <typename T>
void top(const std::byte* data, size_t count, size_t k, const std::vector<std::string>& labels,
         std::vector<std::byte>* out) {
  std::vector<T> values(count);
  std::memcpy(values.data(), data, count * sizeof(T));
  if constexpr (std::is_floating_point_v<T>)  // NaN has no place in an order: last
    for (T& v : values) v = std::isnan(v) ? -std::numeric_limits<T>::infinity() : v;
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  // Equal values keep their order, so that the answer does not depend on the library's sort.
  const auto larger = [&](size_t a, size_t b) { return values[a] > values[b] || (values[a] == values[b] && a < b); };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(), larger);
  for (size_t i = 0; i < k; ++i) {
    std::string text;
    if constexpr (std::is_floating_point_v<T>)
      text = fmt::format("{:f}:{}", values[order[i]], order[i]);
    else
      text = fmt::format("{}:{}", values[order[i]], order[i]);
    if (order[i] < labels.size() && !labels[order[i]].empty()) text += ":" + labels[order[i]];
    const uint32_t length = static_cast<uint32_t>(text.size());
    const auto* head = reinterpret_cast<const std::byte*>(&length);
    out->insert(out->end(), head, head + sizeof length);
    const auto* body = reinterpret_cast<const std::byte*>(text.data());
    out->insert(out->end(), body, body + text.size());
  }
}

using Top = void (*)(const std::byte*, size_t, size_t, const std::vector<std::string>&, std::vector<std::byte>*);

Top top_of(carnot_dtype dtype) {
  switch (dtype) {
    case CARNOT_F32:
      return top<float>;
    case CARNOT_F64:
      return top<double>;
    case CARNOT_I8:
      return top<int8_t>;
    case CARNOT_I16:
      return top<int16_t>;
    case CARNOT_I32:
      return top<int32_t>;
    case CARNOT_I64:
      return top<int64_t>;
    case CARNOT_U8:
      return top<uint8_t>;
    case CARNOT_U16:
      return top<uint16_t>;
    case CARNOT_U32:
      return top<uint32_t>;
    case CARNOT_U64:
      return top<uint64_t>;
    default:
      return nullptr;
  }
}

}  // namespace

MaybeFault classify(const std::vector<IoSpec>& specs, bool batched, InferReply* reply, Labelled* memory) {
  for (OutputTensor& out : reply->outputs) {
    if (!out.request || out.request->classification == 0) continue;
    const Top top_k = top_of(out.type->dtype);
    if (!top_k) return invalid("classification is not possible for output '{}' of type {}", *out.name, out.type->name);
    const auto spec = std::find_if(specs.begin(), specs.end(), [&](const IoSpec& s) { return s.name == *out.name; });
    const size_t rows = batched && !out.shape.empty() ? static_cast<size_t>(out.shape[0]) : 1;
    const size_t count = rows ? out.bytes / out.type->size / rows : 0;
    const size_t k = std::min<size_t>(out.request->classification, count);
    std::vector<std::byte>& text = memory->emplace_back();
    for (size_t row = 0; row < rows; ++row)
      top_k(out.data + row * count * out.type->size, count, k, spec->labels, &text);
    out.type = datatype_named("BYTES");
    out.shape = batched ? std::vector<int64_t>{static_cast<int64_t>(rows), static_cast<int64_t>(k)}
                        : std::vector<int64_t>{static_cast<int64_t>(k)};
    out.data = text.data();
    out.bytes = text.size();
  }
  return std::nullopt;
}

}  // namespace carnot::serve
