// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/copy/copy.hpp"

#include <algorithm>
#include <cstring>

#include "base/threads.hpp"

namespace carnot::cpu {

namespace {
struct Axis {
  int64_t size, in, out;
};

struct Quad {
  uint64_t low, high;
};

template <typename T>
void copy_strided(const char* in, int64_t in_stride, char* out, int64_t out_stride, int64_t n) {
  const T* from = reinterpret_cast<const T*>(in);
  T* to = reinterpret_cast<T*>(out);
  if (out_stride == 1)
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * in_stride];
  else
    for (int64_t i = 0; i < n; ++i) to[i * out_stride] = from[i * in_stride];
}

// n elements of a power of two bytes.
void copy_run(const char* in, int64_t in_stride, char* out, int64_t out_stride, int64_t n, size_t bytes) {
  if (in_stride == 1 && out_stride == 1) {
    std::memcpy(out, in, static_cast<size_t>(n) * bytes);
    return;
  }
  switch (bytes) {
    case 1: return copy_strided<uint8_t>(in, in_stride, out, out_stride, n);
    case 2: return copy_strided<uint16_t>(in, in_stride, out, out_stride, n);
    case 4: return copy_strided<uint32_t>(in, in_stride, out, out_stride, n);
    case 8: return copy_strided<uint64_t>(in, in_stride, out, out_stride, n);
    default: return copy_strided<Quad>(in, in_stride, out, out_stride, n);
  }
}

bool is_power_of_two(size_t bytes) { return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16; }
}  // namespace

Status run_copy(const void* in, std::span<const int64_t> in_strides, void* out, std::span<const int64_t> out_strides, const Dims& dims,
                size_t element_bytes, ThreadPool& pool) {
  if (in_strides.size() != dims.size() || out_strides.size() != dims.size() || dims.size() > kMaxCopyRank) return invalid("a copy of rank {}", dims.size());
  if (!is_power_of_two(element_bytes)) return invalid("elements of {} bytes", element_bytes);
  Axis axes[kMaxCopyRank + 1];
  int count = 0;
  int64_t total = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    total *= dims[i];
    if (dims[i] == 1) continue;
    const Axis axis{dims[i], in_strides[i], out_strides[i]};
    if (count > 0 && axes[count - 1].in == axis.in * axis.size && axes[count - 1].out == axis.out * axis.size)
      axes[count - 1] = {axes[count - 1].size * axis.size, axis.in, axis.out};
    else
      axes[count++] = axis;
  }
  if (total == 0) return {};
  if (count == 0) axes[count++] = {1, 1, 1};
  const char* from = static_cast<const char*>(in);
  char* to = static_cast<char*>(out);
  const auto bytes = static_cast<int64_t>(element_bytes);
  const Axis run = axes[count - 1];
  if (count == 1) {
    pool.parallel_ranges(run.size, std::max<int64_t>(1, 32768 / bytes), [&](int64_t begin, int64_t end) {
      copy_run(from + begin * run.in * bytes, run.in, to + begin * run.out * bytes, run.out, end - begin, element_bytes);
    });
    return {};
  }
  pool.parallel_ranges(total / run.size, std::max<int64_t>(1, 32768 / (run.size * bytes)), [&](int64_t begin, int64_t end) {
    const Axis inner = axes[count - 2];
    for (int64_t r = begin; r < end;) {
      int64_t rest = r, i = 0, o = 0;
      for (int k = count - 2; k >= 0; --k) {
        const int64_t at = rest % axes[k].size;
        rest /= axes[k].size;
        i += at * axes[k].in;
        o += at * axes[k].out;
      }
      const int64_t steps = std::min(end - r, inner.size - r % inner.size);
      for (int64_t s = 0; s < steps; ++s)
        copy_run(from + (i + s * inner.in) * bytes, run.in, to + (o + s * inner.out) * bytes, run.out, run.size, element_bytes);
      r += steps;
    }
  });
  return {};
}

Status run_gather_rows(const GatherRows& g, ThreadPool& pool) {
  auto index_of = [&](int64_t k) {
    return g.indices_are_32_bit ? static_cast<int64_t>(static_cast<const int32_t*>(g.indices)[k]) : static_cast<const int64_t*>(g.indices)[k];
  };
  // Checked before any thread copies, so that a bad index is reported and never followed.
  for (int64_t k = 0; k < g.count; ++k)
    if (const int64_t i = index_of(k); i < -g.size || i >= g.size) return invalid("index {} is outside [-{}, {})", i, g.size, g.size);
  const char* data = static_cast<const char*>(g.data);
  char* out = static_cast<char*>(g.out);
  pool.parallel_ranges(g.outer * g.count, std::max<int64_t>(1, 32768 / std::max<int64_t>(g.row_bytes, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = index_of(t % g.count), row = t / g.count * g.size + (i < 0 ? i + g.size : i);
      const char* from = data + row * g.row_bytes;
      char* to = out + t * g.row_bytes;
      // Fixed sizes become single moves.
      if (g.row_bytes == 4)
        std::memcpy(to, from, 4);
      else if (g.row_bytes == 8)
        std::memcpy(to, from, 8);
      else
        std::memcpy(to, from, static_cast<size_t>(g.row_bytes));
    }
  });
  return {};
}

namespace {
// Where output position o of a padded axis comes from; -1: the padding value.
int64_t source_of(PadMode mode, int64_t o, int64_t begin, int64_t size) {
  int64_t i = o - begin;
  if (i >= 0 && i < size) return i;
  switch (mode) {
    case PadMode::kConstant: return -1;
    case PadMode::kEdge: return i < 0 ? 0 : size - 1;
    case PadMode::kWrap: return ((i % size) + size) % size;
    case PadMode::kReflect: {
      // Back and forth without repeating the border.
      const int64_t period = std::max<int64_t>(2 * (size - 1), 1);
      i = ((i % period) + period) % period;
      return i < size ? i : period - i;
    }
  }
  return -1;
}

void fill_run(char* to, const void* value, int64_t n, size_t bytes) {
  // A stride of 0 repeats the value.
  copy_run(static_cast<const char*>(value), 0, to, 1, n, bytes);
}
}  // namespace

Status run_pad(PadMode mode, const void* in, const Dims& dims, std::span<const int64_t> begin, std::span<const int64_t> end, const void* value,
               void* out, size_t element_bytes, ThreadPool& pool) {
  const size_t rank = dims.size();
  if (begin.size() != rank || end.size() != rank || rank > kMaxCopyRank) return invalid("padding of rank {}", rank);
  if (!is_power_of_two(element_bytes)) return invalid("elements of {} bytes", element_bytes);
  Dims shape(rank);
  for (size_t i = 0; i < rank; ++i) {
    shape[i] = dims[i] + begin[i] + end[i];
    if (shape[i] < 0) return invalid("padding [{}, {}] cuts more than axis {} of size {} has", begin[i], end[i], i, dims[i]);
    if (mode != PadMode::kConstant && dims[i] == 0 && shape[i] > 0) return invalid("axis {} is empty and cannot be extended", i);
  }
  const int64_t total = size_of(shape);
  if (total == 0) return {};
  const auto bytes = static_cast<int64_t>(element_bytes);
  const char* from = static_cast<const char*>(in);
  char* to = static_cast<char*>(out);
  if (rank == 0) {
    std::memcpy(to, from, element_bytes);
    return {};
  }
  const size_t last = rank - 1;
  const int64_t width = shape[last], size = dims[last], before = begin[last];
  // Output columns [left, right) come from the input as they are.
  const int64_t left = std::clamp<int64_t>(before, 0, width), right = std::clamp<int64_t>(before + size, left, width);
  pool.parallel_ranges(total / width, std::max<int64_t>(1, 32768 / (width * bytes)), [&](int64_t first, int64_t limit) {
    for (int64_t r = first; r < limit; ++r) {
      char* row = to + r * width * bytes;
      int64_t rest = r, offset = 0, stride = size;
      bool outside = false;
      for (size_t k = last; k-- > 0;) {
        const int64_t at = source_of(mode, rest % shape[k], begin[k], dims[k]);
        rest /= shape[k];
        outside = outside || at < 0;
        offset += at * stride;
        stride *= dims[k];
      }
      if (outside) {
        fill_run(row, value, width, element_bytes);
        continue;
      }
      const char* source = from + offset * bytes;
      if (right > left) std::memcpy(row + left * bytes, source + (left - before) * bytes, static_cast<size_t>((right - left) * bytes));
      if (mode == PadMode::kConstant) {
        fill_run(row, value, left, element_bytes);
        fill_run(row + right * bytes, value, width - right, element_bytes);
      } else {
        for (int64_t c = 0; c < width; c = c + 1 == left ? std::max(right, c + 1) : c + 1)
          if (c < left || c >= right) copy_run(source + source_of(mode, c, before, size) * bytes, 1, row + c * bytes, 1, 1, element_bytes);
      }
    }
  });
  return {};
}

}  // namespace carnot::cpu
