// SPDX-License-Identifier: Apache-2.0
#include "ops/pointwise.hpp"

#include <algorithm>

#include "base/pointwise_scalar.hpp"
#include "ops/support_elements.hpp"

namespace carnot::pointwise_scalar {

// out[i] = expression of one row, n elements.
template <typename T>
using RowFn = void (*)(const T* pa, const T* pb, const T* pc, T* out, int64_t n, T alpha, T beta);

namespace {
template <typename T>
constexpr bool admits(int types) {
  return std::is_floating_point_v<T> ? (types & kPointwiseFloats) != 0 : (types & (kPointwiseIntegers | kPointwiseBools)) != 0;
}

template <PointwiseOp kOp, typename T>
struct Row;
// A generic lambda's body is looked at only for the types that the row admits.
#define CARNOT_POINTWISE(id, name, arity, types, result, p0, d0, p1, d1, onnx, since, ...)                        \
  template <typename T>                                                                                           \
  struct Row<PointwiseOp::k##id, T> {                                                                             \
    static void run(const T* pa, [[maybe_unused]] const T* pb, [[maybe_unused]] const T* pc, T* out, int64_t n,   \
                    [[maybe_unused]] T alpha, [[maybe_unused]] T beta) {                                          \
      for (int64_t i = 0; i < n; ++i) {                                                                           \
        const T a = pa[i];                                                                                        \
        [[maybe_unused]] const T x = a, b = arity > 1 ? pb[i] : T(0), c = arity > 2 ? pc[i] : T(0);               \
        out[i] = static_cast<T>(__VA_ARGS__);                                                                     \
      }                                                                                                           \
    }                                                                                                             \
  };
#include "base/pointwise.inc"

template <PointwiseOp kOp, typename T>
constexpr RowFn<T> row_fn() {
  if constexpr (admits<T>(pointwise_row(kOp).types))
    return &Row<kOp, T>::run;
  else
    return nullptr;
}
}  // namespace

template <typename T>
RowFn<T> find_row_fn(PointwiseOp op) {
  switch (op) {
#define CARNOT_POINTWISE(id, ...) \
  case PointwiseOp::k##id: return row_fn<PointwiseOp::k##id, T>();
#include "base/pointwise.inc"
  }
  return nullptr;
}

}  // namespace carnot::pointwise_scalar

namespace carnot::ops {

namespace {
bool admits(const PointwiseRow& row, DType dtype) {
  if (is_float(dtype)) return row.types & kPointwiseFloats;
  if (is_integer(dtype)) return row.types & kPointwiseIntegers;
  return dtype == DType::kBool && (row.types & kPointwiseBools);
}

// a < b, a <= b or a == b where the bounds of b - a decide it for every value of the symbols.
std::optional<bool> compare(PointwiseOp op, const Dim& a, const Dim& b) {
  const std::optional<int64_t> above = (b - a).lower_bound(), below = (a - b).lower_bound();
  if (a == b) return op == PointwiseOp::kEqual || op == PointwiseOp::kLessEqual;
  if (above && *above >= 1) return op != PointwiseOp::kEqual;
  if (below && *below >= 1) return false;
  if (op == PointwiseOp::kLessEqual && above && *above >= 0) return true;
  if (op == PointwiseOp::kLess && below && *below >= 0) return false;
  return std::nullopt;
}

// One element of shape arithmetic; none if the result has no exact expression.
std::optional<Dim> fold(PointwiseOp op, double alpha, const Dim& a, const Dim& b, const Dim& c) {
  if (a.is_constant() && b.is_constant() && c.is_constant()) {
    auto fn = pointwise_scalar::find_row_fn<int64_t>(op);
    if (!fn) return std::nullopt;
    const int64_t in[3] = {a.value(), b.value(), c.value()};
    int64_t out = 0;
    fn(&in[0], &in[1], &in[2], &out, 1, static_cast<int64_t>(alpha), 0);
    return Dim(out);
  }
  const bool divides = b.is_constant() && b.value() > 0 && a.lower_bound().value_or(-1) >= 0;
  switch (op) {
    case PointwiseOp::kAdd: return a + b;
    case PointwiseOp::kSub: return a - b;
    case PointwiseOp::kMul: return a * b;
    case PointwiseOp::kNeg: return Dim(0) - a;
    case PointwiseOp::kMin: return Dim::min(a, b);
    case PointwiseOp::kMax: return Dim::max(a, b);
    case PointwiseOp::kRelu: return Dim::max(a, 0);
    case PointwiseOp::kAbs:
      if (a.lower_bound().value_or(-1) >= 0) return a;
      break;
    case PointwiseOp::kClip: return Dim::min(Dim::max(a, b), c);
    case PointwiseOp::kDiv:
      if (divides) return Dim::floordiv(a, b);
      break;
    case PointwiseOp::kMod:
      if (divides) return Dim::mod(a, b);
      break;
    case PointwiseOp::kWhere:
      if (b == c) return b;
      if (a.is_constant()) return a.value() != 0 ? b : c;
      break;
    case PointwiseOp::kEqual:
    case PointwiseOp::kLess:
    case PointwiseOp::kLessEqual:
      if (auto known = compare(op, a, b)) return Dim(*known ? 1 : 0);
      break;
    case PointwiseOp::kGreater:
      if (auto known = compare(PointwiseOp::kLess, b, a)) return Dim(*known ? 1 : 0);
      break;
    case PointwiseOp::kGreaterEqual:
      if (auto known = compare(PointwiseOp::kLessEqual, b, a)) return Dim(*known ? 1 : 0);
      break;
    default: break;
  }
  return std::nullopt;
}

std::optional<std::vector<Dim>> fold_values(PointwiseOp op, double alpha, const InferCtx& ctx, const Shape& shape) {
  const PointwiseRow& row = pointwise_row(op);
  if (!is_static(shape)) return std::nullopt;
  const Dims dims = to_dims(shape);
  auto n = checked_size(dims);
  if (!n || *n > kMaxTrackedValues) return std::nullopt;
  std::vector<std::vector<Dim>> in;
  std::vector<Dims> in_dims;
  for (size_t k = 0; k < static_cast<size_t>(row.arity); ++k) {
    // The types that shapes are computed in; narrower ones wrap around early.
    const DType t = ctx.dtype(k);
    if ((t != DType::kI64 && t != DType::kI32 && t != DType::kBool) || !is_static(ctx.shape(k))) return std::nullopt;
    auto values = ctx.values(k);
    if (!values) return std::nullopt;
    in.push_back(std::move(*values));
    in_dims.push_back(to_dims(ctx.shape(k)));
  }
  const bool narrow = !row.gives_bool && ctx.dtype(static_cast<size_t>(row.arity) - 1) == DType::kI32;
  BroadcastWalk walk(dims, in_dims);
  std::vector<Dim> out;
  for (int64_t r = 0; r < walk.rows(); ++r, walk.next())
    for (int64_t i = 0; i < walk.cols(); ++i) {
      auto at = [&](size_t k) { return k < in.size() ? in[k][static_cast<size_t>(walk.offset(k) + i * walk.step(k))] : Dim(0); };
      auto value = fold(op, alpha, at(0), at(1), at(2));
      if (!value) return std::nullopt;
      if (narrow && value->is_constant() && static_cast<int32_t>(value->value()) != value->value()) return std::nullopt;
      out.push_back(std::move(*value));
    }
  return out;
}

// Numbers of another type than the base, computed in double; integers stay exact up to 2^53.
Status evaluate_mixed_pow(EvalCtx& ctx) {
  constexpr int64_t kBlock = 256;
  const Dims operands[] = {ctx.in[0].dims, ctx.in[1].dims};
  BroadcastWalk walk(ctx.out[0].dims, operands);
  double a[kBlock], b[kBlock];
  int64_t done = 0;
  for (int64_t r = 0; r < walk.rows(); ++r, walk.next())
    for (int64_t i = 0; i < walk.cols(); i += kBlock) {
      const int64_t n = std::min(kBlock, walk.cols() - i);
      load_elements(ctx.in[0].dtype, ctx.in[0].data, walk.offset(0) + i * walk.step(0), walk.step(0), n, a);
      load_elements(ctx.in[1].dtype, ctx.in[1].data, walk.offset(1) + i * walk.step(1), walk.step(1), n, b);
      for (int64_t j = 0; j < n; ++j) a[j] = std::pow(a[j], b[j]);
      store_elements(a, n, ctx.out[0].dtype, ctx.out[0].data, done);
      done += n;
    }
  return {};
}
}  // namespace

Result<Facts> infer_pointwise(PointwiseOp op, double alpha, double, const InferCtx& ctx) {
  const PointwiseRow& row = pointwise_row(op);
  const size_t first = op == PointwiseOp::kWhere ? 1 : 0;  // the condition is bool, whatever is chosen
  const DType dtype = ctx.dtype(first);
  Shape shape = ctx.shape(0);
  for (size_t i = 0; i < static_cast<size_t>(row.arity); ++i) {
    if (!admits(row, ctx.dtype(i))) return invalid("input {} may not be {}", i, dtype_name(ctx.dtype(i)));
    if (i > first && ctx.dtype(i) != dtype && op != PointwiseOp::kPow)
      return invalid("inputs {} and {} have different types, {} and {}; insert a cast", first, i, dtype_name(dtype), dtype_name(ctx.dtype(i)));
    if (i > 0) {
      CARNOT_ASSIGN(shape, broadcast(shape, ctx.shape(i)));
    }
  }
  ValueFacts out{row.gives_bool ? DType::kBool : dtype, std::move(shape)};
  out.values = fold_values(op, alpha, ctx, out.shape);
  return Facts{std::move(out)};
}

Status evaluate_pointwise(PointwiseOp op, double alpha, double beta, EvalCtx& ctx) {
  constexpr int64_t kBlock = 256;
  const PointwiseRow& row = pointwise_row(op);
  const auto arity = static_cast<size_t>(row.arity);
  if (op == PointwiseOp::kPow && ctx.in[0].dtype != ctx.in[1].dtype) return evaluate_mixed_pow(ctx);
  Dims operands[3];
  for (size_t k = 0; k < arity; ++k) operands[k] = ctx.in[k].dims;
  BroadcastWalk walk(ctx.out[0].dims, std::span(operands, arity));
  Status status;
  dispatch_compute(compute_type(ctx.in[arity - 1].dtype), [&](auto tag) {
    using C = typename decltype(tag)::type;
    const auto fn = pointwise_scalar::find_row_fn<C>(op);
    if (!fn) {
      status = invalid("input 0 may not be {}", dtype_name(ctx.in[0].dtype));
      return;
    }
    C in[3][kBlock], out[kBlock];
    int64_t done = 0;
    for (int64_t r = 0; r < walk.rows(); ++r, walk.next())
      for (int64_t i = 0; i < walk.cols(); i += kBlock) {
        const int64_t n = std::min(kBlock, walk.cols() - i);
        for (size_t k = 0; k < arity; ++k)
          load_elements(ctx.in[k].dtype, ctx.in[k].data, walk.offset(k) + i * walk.step(k), walk.step(k), n, in[k]);
        fn(in[0], in[1], in[2], out, n, static_cast<C>(alpha), static_cast<C>(beta));
        store_elements(out, n, ctx.out[0].dtype, ctx.out[0].data, done);
        done += n;
      }
  });
  return status;
}

namespace {
Result<PointwiseOp> row_of(const Gelu& op) {
  if (op.approximate == "none") return PointwiseOp::kGelu;
  if (op.approximate == "tanh") return PointwiseOp::kGeluTanh;
  return invalid("attribute 'approximate' must be \"none\" or \"tanh\", got \"{}\"", op.approximate);
}
Result<PointwiseOp> row_of(const BitShift& op) {
  if (op.direction == "LEFT") return PointwiseOp::kShiftLeft;
  if (op.direction == "RIGHT") return PointwiseOp::kShiftRight;
  return invalid("attribute 'direction' must be \"LEFT\" or \"RIGHT\", got \"{}\"", op.direction);
}
}  // namespace

Result<Facts> Gelu::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const PointwiseOp row, row_of(*this));
  return infer_pointwise(row, 0, 0, ctx);
}
Status Gelu::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const PointwiseOp row, row_of(*this));
  return evaluate_pointwise(row, 0, 0, ctx);
}
Result<Facts> BitShift::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const PointwiseOp row, row_of(*this));
  return infer_pointwise(row, 0, 0, ctx);
}
Status BitShift::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const PointwiseOp row, row_of(*this));
  return evaluate_pointwise(row, 0, 0, ctx);
}

std::optional<PointwiseCall> pointwise_call(const Operator& op) {
  if (!op.info().pointwise) return std::nullopt;
  if (const auto* gelu = op.as<Gelu>()) {
    auto row = row_of(*gelu);
    return row ? std::optional(PointwiseCall{*row}) : std::nullopt;
  }
  if (const auto* shift = op.as<BitShift>()) {
    auto row = row_of(*shift);
    return row ? std::optional(PointwiseCall{*row}) : std::nullopt;
  }
  const auto id = find_pointwise(op.name());
  if (!id) return std::nullopt;
  const PointwiseRow& row = pointwise_row(*id);
  PointwiseCall call{*id, row.alpha, row.beta};
  for (const auto& [name, attr] : op.attrs()) {
    const double* value = std::get_if<double>(&attr);
    if (value && name == row.alpha_name) call.alpha = *value;
    if (value && name == row.beta_name) call.beta = *value;
  }
  return call;
}

std::vector<OpEntry> op_entries_pointwise() {
  std::vector<OpEntry> out = make_entries<Gelu, BitShift>();
#define CARNOT_POINTWISE(id, ...) out.push_back(make_entries<id>()[0]);
#define CARNOT_POINTWISE_PART(id, ...)
#include "base/pointwise.inc"
  return out;
}

}  // namespace carnot::ops
