// SPDX-License-Identifier: Apache-2.0
#include "ops/roi_align.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {

// The four places around a point and their weights; all weights 0 for a point outside.
struct Sample {
  int64_t at[4] = {0, 0, 0, 0};
  double weight[4] = {0, 0, 0, 0};
};

Sample sample_at(double y, double x, int64_t height, int64_t width) {
  Sample s;
  // Also false for NaN.
  if (!(y >= -1 && y <= static_cast<double>(height) && x >= -1 && x <= static_cast<double>(width))) return s;
  auto place = [](double p, int64_t n, int64_t& low, int64_t& high, double& fraction) {
    p = std::clamp(p, 0.0, static_cast<double>(n - 1));
    low = static_cast<int64_t>(p);
    high = std::min(low + 1, n - 1);
    fraction = p - static_cast<double>(low);
  };
  int64_t y0, y1, x0, x1;
  double fy, fx;
  place(y, height, y0, y1, fy);
  place(x, width, x0, x1, fx);
  return {{y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1},
          {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
}

constexpr int64_t kMostSamples = 1 << 12;  // per bin and axis

}  // namespace

Result<Facts> RoiAlign::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 0, 4));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, 2));
  CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, 1, Dim(4), "the corners of a box"));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 2, DType::kI64));
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, ctx.shape(1)[0], "the number of boxes"));
  if (mode != "avg" && mode != "max") return invalid("attribute 'mode' is '{}', neither avg nor max", mode);
  if (coordinate_transformation_mode != "half_pixel" && coordinate_transformation_mode != "output_half_pixel")
    return invalid("attribute 'coordinate_transformation_mode' is '{}', neither half_pixel nor output_half_pixel",
                   coordinate_transformation_mode);
  if (output_height < 1 || output_width < 1 || output_height > 1 << 20 || output_width > 1 << 20)
    return invalid("the bins are {} by {}; both numbers must be positive", output_height, output_width);
  if (sampling_ratio < 0 || sampling_ratio > kMostSamples)
    return invalid("attribute 'sampling_ratio' is {}, outside [0, {}]", sampling_ratio, kMostSamples);
  return Facts{{ctx.dtype(0), {ctx.shape(1)[0], ctx.shape(0)[1], Dim(output_height), Dim(output_width)}}};
}

Status RoiAlign::evaluate(EvalCtx& ctx) const {
  const TensorView &x = ctx.in[0], &rois = ctx.in[1], &batch = ctx.in[2];
  TensorView& y = ctx.out[0];
  const int64_t channels = x.dims[1], height = x.dims[2], width = x.dims[3];
  if (rois.dims[1] != 4 || batch.size() != rois.dims[0])
    return invalid("boxes of shape {} do not fit {} batch indices", to_string(rois.dims), batch.size());
  if (y.size() > 0 && height * width == 0) return invalid("input 0 ('x') of shape {} has no places", to_string(x.dims));
  CARNOT_ASSIGN(const std::vector<double> boxes, to_doubles(rois));
  const bool shifted = coordinate_transformation_mode == "half_pixel";
  Status status;
  dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* to = y.as<T>();
    for (int64_t r = 0; r < rois.dims[0]; ++r) {
      const int64_t n = batch.as<int64_t>()[r];
      if (n < 0 || n >= x.dims[0]) {
        status = invalid("input 2 ('batch_indices') holds {}, outside [0, {})", n, x.dims[0]);
        return;
      }
      const double* box = boxes.data() + 4 * r;
      const double shift = shifted ? 0.5 : 0, left = box[0] * spatial_scale - shift,
                   top = box[1] * spatial_scale - shift;
      double w = box[2] * spatial_scale - shift - left, h = box[3] * spatial_scale - shift - top;
      if (!shifted) w = std::max(w, 1.0), h = std::max(h, 1.0);
      const double bin_h = h / static_cast<double>(output_height), bin_w = w / static_cast<double>(output_width);
      auto samples_of = [&](double bin) {
        return sampling_ratio > 0
                   ? sampling_ratio
                   : static_cast<int64_t>(std::clamp(std::ceil(bin), 0.0, static_cast<double>(kMostSamples)));
      };
      if (!(std::abs(bin_h) < 1e9 && std::abs(bin_w) < 1e9)) {
        status = invalid("input 1 ('rois') holds the box [{}, {}, {}, {}], which has no size", box[0], box[1], box[2],
                         box[3]);
        return;
      }
      const int64_t rows = samples_of(bin_h), cols = samples_of(bin_w);
      std::vector<Sample> samples;
      for (int64_t i = 0; i < output_height; ++i)
        for (int64_t j = 0; j < output_width; ++j) {
          samples.clear();
          for (int64_t p = 0; p < rows; ++p)
            for (int64_t q = 0; q < cols; ++q)
              samples.push_back(sample_at(
                  top + (static_cast<double>(i) + (static_cast<double>(p) + 0.5) / static_cast<double>(rows)) * bin_h,
                  left + (static_cast<double>(j) + (static_cast<double>(q) + 0.5) / static_cast<double>(cols)) * bin_w,
                  height, width));
          for (int64_t c = 0; c < channels; ++c) {
            const T* plane = x.as<T>() + (n * channels + c) * height * width;
            double sum = 0, most = 0;
            for (size_t k = 0; k < samples.size(); ++k)
              for (size_t corner = 0; corner < 4; ++corner) {
                const double value = samples[k].weight[corner] * static_cast<double>(plane[samples[k].at[corner]]);
                sum += value;
                most = k + corner == 0 ? value : std::max(most, value);
              }
            const double result = mode == "max" ? most : sum / static_cast<double>(std::max<int64_t>(1, rows * cols));
            to[((r * channels + c) * output_height + i) * output_width + j] = static_cast<T>(result);
          }
        }
    }
  });
  return status;
}

CARNOT_DEFINE_OPS(roi_align, RoiAlign)

}  // namespace carnot::ops
