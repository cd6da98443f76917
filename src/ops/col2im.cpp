// SPDX-License-Identifier: Apache-2.0
#include "ops/col2im.hpp"

#include <algorithm>
#include <type_traits>

#include "ops/support_check.hpp"
#include "ops/support_shape.hpp"

namespace carnot::ops {

namespace {

constexpr int64_t kMost = int64_t{1} << 31;

struct Blocks {
  Dims count;  // of blocks along each axis
  int64_t elements = 1, blocks = 1;
};

Result<Blocks> blocks_of(const Col2Im& op, const std::vector<int64_t>& image, const std::vector<int64_t>& block) {
  const size_t n = image.size();
  if (n == 0 || block.size() != n)
    return invalid("inputs 1 and 2 have {} and {} entries; they must have equally many", n, block.size());
  auto at = [](const std::vector<int64_t>& list, size_t i, int64_t otherwise) {
    return list.empty() ? otherwise : list[i];
  };
  if ((!op.dilations.empty() && op.dilations.size() != n) || (!op.strides.empty() && op.strides.size() != n) ||
      (!op.pads.empty() && op.pads.size() != 2 * n))
    return invalid("attributes 'dilations', 'strides' and 'pads' do not fit {} axes", n);
  Blocks out;
  for (size_t i = 0; i < n; ++i) {
    const int64_t dilation = at(op.dilations, i, 1), stride = at(op.strides, i, 1), before = at(op.pads, i, 0),
                  behind = at(op.pads, n + i, 0);
    for (int64_t v : {image[i], block[i], dilation, stride})
      if (v < 1 || v > kMost)
        return invalid("axis {}: image {}, block {}, dilation {} and stride {} must be positive", i, image[i], block[i],
                       dilation, stride);
    if (before < 0 || behind < 0 || before > kMost || behind > kMost)
      return invalid("attribute 'pads' holds {} and {} for axis {}", before, behind, i);
    const int64_t room = image[i] + before + behind - dilation * (block[i] - 1) - 1;
    if (room < 0)
      return invalid("axis {}: a block of {} places {} apart does not fit an image of {}", i, block[i], dilation,
                     image[i]);
    out.count.push_back(room / stride + 1);
  }
  CARNOT_ASSIGN(out.elements, checked_size(block));
  CARNOT_ASSIGN(out.blocks, checked_size(out.count));
  return out;
}

}  // namespace

Result<Facts> Col2Im::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 0, 3));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kI64));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 2, DType::kI64));
  const Shape& x = ctx.shape(0);
  const auto rank = known_length(ctx, 1);
  if (!rank || ctx.rank(1) != 1) return invalid("input 1 ('image_shape') must be 1-D with a known length");
  const auto image = ctx.ints(1), block = ctx.ints(2);
  ValueFacts out{ctx.dtype(0), {x[0], ctx.fresh("col2im")}};
  if (block) {
    CARNOT_ASSIGN(const int64_t elements, checked_size(*block));
    if (elements < 1) return invalid("input 2 ('block_shape') has a size that is not positive");
    if (x[1].is_constant() && x[1].value() % elements != 0)
      return invalid("input 0 ('x') of shape {} does not hold blocks of {} elements", to_string(x), elements);
    out.shape[1] = Dim::floordiv(x[1], Dim(elements));
  }
  if (image && block) {
    CARNOT_ASSIGN(const Blocks b, blocks_of(*this, *image, *block));
    CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 0, 2, Dim(b.blocks), "the number of blocks"));
  }
  const auto sizes = ctx.values(1);
  for (int64_t i = 0; i < *rank; ++i)
    out.shape.push_back(sizes ? (*sizes)[static_cast<size_t>(i)] : ctx.fresh("col2im"));
  return Facts{std::move(out)};
}

Status Col2Im::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const std::vector<int64_t> image, to_int64s(ctx.in[1]));
  CARNOT_ASSIGN(const std::vector<int64_t> block, to_int64s(ctx.in[2]));
  CARNOT_ASSIGN(const Blocks b, blocks_of(*this, image, block));
  if (x.dims[2] != b.blocks || y.dims[1] * b.elements != x.dims[1])
    return invalid("input 0 ('x') of shape {} does not hold {} blocks of {} elements", to_string(x.dims), b.blocks,
                   b.elements);
  const Dims strides_y = strides_of(image);
  const int64_t planes = y.dims[0] * y.dims[1], plane = size_of(image);
  const size_t n = image.size();
  dispatch_dtype(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Sum =
        std::conditional_t<std::is_integral_v<T>, uint64_t, double>;  // uint64_t wraps as every integer type does
    std::vector<Sum> sums(static_cast<size_t>(plane));
    std::vector<int64_t> element(n, 0), place(n, 0);
    for (int64_t p = 0; p < planes; ++p) {
      std::fill(sums.begin(), sums.end(), Sum{});
      const T* from = x.as<T>() + p * b.elements * b.blocks;
      for (int64_t e = 0; e < b.elements; ++e, next_index(element, block))
        for (int64_t k = 0; k < b.blocks; ++k, next_index(place, b.count)) {
          int64_t at = 0;
          bool inside = true;
          for (size_t d = 0; d < n; ++d) {
            const int64_t i = place[d] * (strides.empty() ? 1 : strides[d]) +
                              element[d] * (dilations.empty() ? 1 : dilations[d]) - (pads.empty() ? 0 : pads[d]);
            inside = inside && i >= 0 && i < image[d];
            at += i * strides_y[d];
          }
          if (inside) sums[static_cast<size_t>(at)] += static_cast<Sum>(from[e * b.blocks + k]);
        }
      for (int64_t i = 0; i < plane; ++i) y.as<T>()[p * plane + i] = static_cast<T>(sums[static_cast<size_t>(i)]);
    }
  });
  return {};
}

CARNOT_DEFINE_OPS(col2im, Col2Im)

}  // namespace carnot::ops
