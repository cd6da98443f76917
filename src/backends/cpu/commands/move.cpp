// SPDX-License-Identifier: Apache-2.0
// Moving elements of any dtype: cpu.transpose (perm), cpu.concat (axis), cpu.split (axis), cpu.slice (operands x, starts, ends, axes?, steps?),
// cpu.expand, cpu.gather (axis; operands data, indices), cpu.pad (mode; operands x, pads, value?, axes?).
#include <algorithm>

#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/copy/copy.hpp"
#include "backends/cpu/kernels/transpose/transpose.hpp"

namespace carnot::cpu {
namespace {

using Positions = std::array<int64_t, kMaxCopyRank>;

class TransposeKernel final : public Kernel {
 public:
  explicit TransposeKernel(std::vector<int64_t> perm) : perm_(std::move(perm)) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.transpose", inputs, outputs, 1, 1); }
  Status run(const KernelArgs& args) const override {
    const TensorView& x = args.in[0];
    if (x.dtype != args.out[0].dtype || x.rank() != perm_.size() || args.out[0].rank() != perm_.size()) return fail(Code::kDataCorrupt, "operands do not fit");
    for (size_t i = 0; i < perm_.size(); ++i)
      if (perm_[i] < 0 || perm_[i] >= static_cast<int64_t>(perm_.size()) || args.out[0].dims[i] != x.dims[static_cast<size_t>(perm_[i])])
        return fail(Code::kDataCorrupt, "shapes {} and {} do not fit", to_string(x.dims), to_string(args.out[0].dims));
    return run_transpose(x.data, args.out[0].data, x.dims, perm_, dtype_size(x.dtype), *args.pool);
  }

 private:
  std::vector<int64_t> perm_;
};

// Strides of a tensor into a fixed array; an error above the rank that copies take.
Status strides_into(const TensorView& view, Positions& strides) {
  const Dims& dims = view.dims;
  if (dims.size() > kMaxCopyRank) return invalid("rank {} is above {}", dims.size(), kMaxCopyRank);
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    if (i > 0 && __builtin_mul_overflow(stride, i + 1 == dims.size() ? view.row_pitch() : dims[i], &stride)) return invalid("shape {} is too large", to_string(dims));
  }
  return {};
}

// Concat and split are the same loop in two directions. Parts that lie in their place already are left alone.
class JoinKernel final : public Kernel {
 public:
  JoinKernel(int64_t axis, bool split) : axis_(axis), split_(split) {}
  Status check_operands(size_t inputs, size_t outputs) const override {
    const bool fits = split_ ? inputs >= 1 && inputs <= 2 && outputs >= 1 : inputs >= 1 && outputs == 1;
    return fits ? Status() : Status(fail(Code::kDataCorrupt, "cpu.concat or cpu.split with {} operands and {} results", inputs, outputs));
  }
  bool takes_pitch(bool result, size_t i) const override { return !split_ || result || i == 0; }
  Status run(const KernelArgs& args) const override {
    const TensorView& whole = split_ ? args.in[0] : args.out[0];
    CARNOT_ASSIGN(const int64_t a, normalize_axis(axis_, whole.rank()));
    const auto axis = static_cast<size_t>(a);
    const size_t bytes = dtype_size(whole.dtype);
    Positions wide{}, own{};
    CARNOT_RETURN_IF_ERROR(strides_into(whole, wide));
    int64_t at = 0;
    const size_t parts = split_ ? args.out.size() : args.in.size();
    for (size_t p = 0; p < parts; ++p) {
      const TensorView& part = split_ ? args.out[p] : args.in[p];
      if (part.dtype != whole.dtype || part.rank() != whole.rank()) return fail(Code::kDataCorrupt, "operand {} does not fit", p);
      for (size_t i = 0; i < whole.rank(); ++i)
        if (i != axis && part.dims[i] != whole.dims[i])
          return invalid("shapes {} and {} differ on axis {}", to_string(part.dims), to_string(whole.dims), i);
      if (part.dims[axis] > whole.dims[axis] - at) return invalid("the parts are longer than axis {} of {}", axis, to_string(whole.dims));
      if (part.size() > 0) {
        char* base = static_cast<char*>(whole.data) + static_cast<size_t>(at * wide[axis]) * bytes;
        const std::span<const int64_t> there(wide.data(), whole.rank()), here(own.data(), whole.rank());
        CARNOT_RETURN_IF_ERROR(strides_into(part, own));
        if (base != part.data)
          CARNOT_RETURN_IF_ERROR(split_ ? run_copy(base, there, part.data, here, part.dims, bytes, *args.pool) : run_copy(part.data, here, base, there, part.dims, bytes, *args.pool));
      }
      at += part.dims[axis];
    }
    if (at != whole.dims[axis]) return invalid("the parts do not fill axis {} of {}", axis, to_string(whole.dims));
    return {};
  }

 private:
  int64_t axis_;
  bool split_;
};

class SliceKernel final : public Kernel {
 public:
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.slice", inputs, outputs, 3, 5); }
  bool takes_pitch(bool result, size_t i) const override { return result || i == 0; }
  Status run(const KernelArgs& args) const override {
    const TensorView& x = args.in[0];
    TensorView& y = args.out[0];
    if (x.dtype != y.dtype || x.rank() != y.rank()) return fail(Code::kDataCorrupt, "operands do not fit");
    Positions in_strides{}, out_strides{};
    CARNOT_RETURN_IF_ERROR(strides_into(x, in_strides));
    CARNOT_RETURN_IF_ERROR(strides_into(y, out_strides));
    const int64_t count = args.in[1].size();
    for (size_t i = 1; i < args.in.size(); ++i)
      if (present(args, i) && args.in[i].size() != count) return invalid("starts, ends, axes and steps must have the same length");
    if (count > static_cast<int64_t>(x.rank())) return invalid("{} starts for rank {}", count, x.rank());
    int64_t offset = 0;
    std::array<bool, kMaxCopyRank> named{};
    for (int64_t i = 0; i < count; ++i) {
      CARNOT_ASSIGN(int64_t start, element(args.in[1], i));
      CARNOT_ASSIGN(int64_t end, element(args.in[2], i));
      int64_t axis = i, step = 1;
      if (present(args, 3)) {
        CARNOT_ASSIGN(axis, element(args.in[3], i));
      }
      if (present(args, 4)) {
        CARNOT_ASSIGN(step, element(args.in[4], i));
      }
      CARNOT_ASSIGN(axis, normalize_axis(axis, x.rank()));
      const auto a = static_cast<size_t>(axis);
      if (step == 0 || named[a]) return invalid("step 0, or axis {} twice", a);
      named[a] = true;
      const int64_t n = x.dims[a];
      step = std::clamp<int64_t>(step, -n - 1, n + 1);  // a longer step takes one element likewise, and cannot overflow
      if (start < 0) start += n;
      if (end < 0) end += n;
      start = std::clamp<int64_t>(start, step > 0 ? 0 : -1, step > 0 ? n : n - 1);
      end = std::clamp<int64_t>(end, step > 0 ? 0 : -1, step > 0 ? n : n - 1);
      const int64_t length = step > 0 ? (end > start ? (end - start - 1) / step + 1 : 0) : (start > end ? (start - end - 1) / -step + 1 : 0);
      if (y.dims[a] != length) return invalid("axis {} gives {} elements, {} were expected", a, length, y.dims[a]);
      offset += start * in_strides[a];
      in_strides[a] *= step;
    }
    for (size_t a = 0; a < x.rank(); ++a)
      if (!named[a] && x.dims[a] != y.dims[a]) return invalid("shapes {} and {} differ on axis {}", to_string(x.dims), to_string(y.dims), a);
    if (y.size() == 0) return {};
    const size_t bytes = dtype_size(x.dtype);
    return run_copy(static_cast<const char*>(x.data) + offset * static_cast<int64_t>(bytes), {in_strides.data(), x.rank()}, y.data, {out_strides.data(), y.rank()}, y.dims, bytes,
                    *args.pool);
  }

 private:
  static Result<int64_t> element(const TensorView& v, int64_t i) {
    if (v.dtype == DType::kI64) return v.as<int64_t>()[i];
    if (v.dtype == DType::kI32) return int64_t{v.as<int32_t>()[i]};
    return fail(Code::kDataCorrupt, "positions must be i32 or i64");
  }
};

class ExpandKernel final : public Kernel {
 public:
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.expand", inputs, outputs, 1, 1); }
  Status run(const KernelArgs& args) const override {
    const TensorView& x = args.in[0];
    TensorView& y = args.out[0];
    if (x.dtype != y.dtype || x.rank() > y.rank()) return fail(Code::kDataCorrupt, "operands do not fit");
    Positions dense{}, in_strides{}, out_strides{};
    CARNOT_RETURN_IF_ERROR(strides_into(x, dense));
    CARNOT_RETURN_IF_ERROR(strides_into(y, out_strides));
    const size_t skip = y.rank() - x.rank();
    for (size_t i = 0; i < x.rank(); ++i) {
      if (x.dims[i] != 1 && x.dims[i] != y.dims[skip + i]) return invalid("shape {} cannot be broadcast to {}", to_string(x.dims), to_string(y.dims));
      in_strides[skip + i] = x.dims[i] == 1 ? 0 : dense[i];
    }
    if (y.size() == 0) return {};
    return run_copy(x.data, {in_strides.data(), y.rank()}, y.data, {out_strides.data(), y.rank()}, y.dims, dtype_size(x.dtype), *args.pool);
  }
};

class GatherKernel final : public Kernel {
 public:
  explicit GatherKernel(int64_t axis) : axis_(axis) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.gather", inputs, outputs, 2, 2); }
  Status run(const KernelArgs& args) const override {
    const TensorView &data = args.in[0], &indices = args.in[1];
    CARNOT_ASSIGN(const int64_t axis_at, normalize_axis(axis_, data.rank()));
    const auto axis = static_cast<size_t>(axis_at);
    if (indices.dtype != DType::kI64 && indices.dtype != DType::kI32) return fail(Code::kDataCorrupt, "indices must be i32 or i64");
    GatherRows g;
    g.row_bytes = static_cast<int64_t>(dtype_size(data.dtype));
    for (size_t i = 0; i < data.rank(); ++i)
      if (i != axis) (i < axis ? g.outer : g.row_bytes) *= data.dims[i];
    g.size = data.dims[axis];
    g.data = data.data;
    g.indices = indices.data;
    g.indices_are_32_bit = indices.dtype == DType::kI32;
    g.count = indices.size();
    g.out = args.out[0].data;
    if (args.out[0].dtype != data.dtype || static_cast<int64_t>(args.out[0].bytes()) != g.outer * g.count * g.row_bytes) return fail(Code::kDataCorrupt, "the result does not fit");
    return run_gather_rows(g, *args.pool);
  }

 private:
  int64_t axis_;
};

class PadKernel final : public Kernel {
 public:
  explicit PadKernel(PadMode mode) : mode_(mode) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.pad", inputs, outputs, 2, 4); }
  Status run(const KernelArgs& args) const override {
    const TensorView& x = args.in[0];
    TensorView& y = args.out[0];
    if (x.dtype != y.dtype || x.rank() != y.rank() || x.rank() > kMaxCopyRank) return fail(Code::kDataCorrupt, "operands do not fit");
    const int64_t axes = present(args, 3) ? args.in[3].size() : static_cast<int64_t>(x.rank());
    if (args.in[1].dtype != DType::kI64 || args.in[1].size() != 2 * axes || (present(args, 3) && args.in[3].dtype != DType::kI64)) return invalid("pads must be i64 and two for each axis");
    Positions begin{}, end{};
    for (int64_t i = 0; i < axes; ++i) {
      CARNOT_ASSIGN(const int64_t axis, normalize_axis(present(args, 3) ? args.in[3].as<int64_t>()[i] : i, x.rank()));
      begin[static_cast<size_t>(axis)] = args.in[1].as<int64_t>()[i];
      end[static_cast<size_t>(axis)] = args.in[1].as<int64_t>()[axes + i];
    }
    for (size_t i = 0; i < x.rank(); ++i)
      if (x.dims[i] + begin[i] + end[i] != y.dims[i]) return invalid("axis {} gives {} elements, {} were expected", i, x.dims[i] + begin[i] + end[i], y.dims[i]);
    const std::array<char, 16> zero{};
    const bool given = present(args, 2) && args.in[2].size() == 1;
    if (given && args.in[2].dtype != x.dtype) return fail(Code::kDataCorrupt, "the value has another dtype");
    return run_pad(mode_, x.data, x.dims, {begin.data(), x.rank()}, {end.data(), x.rank()}, given ? args.in[2].data : zero.data(), y.data, dtype_size(x.dtype), *args.pool);
  }

 private:
  PadMode mode_;
};

template <typename K, typename... A>
Result<std::unique_ptr<Kernel>> made(A&&... args) {
  return std::unique_ptr<Kernel>(std::make_unique<K>(std::forward<A>(args)...));
}
Result<std::unique_ptr<Kernel>> make_transpose(const Attrs& p) { return made<TransposeKernel>(attr_or<std::vector<int64_t>>(p, "perm", {})); }
Result<std::unique_ptr<Kernel>> make_concat(const Attrs& p) { return made<JoinKernel>(attr_or<int64_t>(p, "axis", 0), false); }
Result<std::unique_ptr<Kernel>> make_split(const Attrs& p) { return made<JoinKernel>(attr_or<int64_t>(p, "axis", 0), true); }
Result<std::unique_ptr<Kernel>> make_slice(const Attrs&) { return made<SliceKernel>(); }
Result<std::unique_ptr<Kernel>> make_expand(const Attrs&) { return made<ExpandKernel>(); }
Result<std::unique_ptr<Kernel>> make_gather(const Attrs& p) { return made<GatherKernel>(attr_or<int64_t>(p, "axis", 0)); }
Result<std::unique_ptr<Kernel>> make_pad(const Attrs& p) {
  const std::string mode = attr_or<std::string>(p, "mode", "constant");
  for (const auto& [name, value] : {std::pair{"constant", PadMode::kConstant}, {"reflect", PadMode::kReflect}, {"edge", PadMode::kEdge}, {"wrap", PadMode::kWrap}})
    if (mode == name) return made<PadKernel>(value);
  return fail(Code::kDataCorrupt, "unknown mode '{}'", mode);
}

}  // namespace

CARNOT_CPU_COMMANDS(move, {"cpu.transpose", make_transpose}, {"cpu.concat", make_concat}, {"cpu.split", make_split}, {"cpu.slice", make_slice}, {"cpu.expand", make_expand},
                    {"cpu.gather", make_gather}, {"cpu.pad", make_pad})

}  // namespace carnot::cpu
