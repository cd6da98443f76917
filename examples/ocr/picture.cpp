// SPDX-License-Identifier: Apache-2.0
#include "picture.hpp"

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace ocr {
namespace {

// How many samples of the picture go into one pixel along one direction.
int samples_per_pixel(Vec half_side, int pixels) {
  return std::max(1, static_cast<int>(std::nearbyint(2 * length(half_side) / pixels)));
}

struct Tap {
  int low, high;
  float share;  // of `high`
};

// The two pixels that a coordinate lies between; beyond the picture's edge it is the edge.
Tap tap(double at, int size) {
  at = std::clamp(at - 0.5, 0.0, size - 1.0);
  const int low = static_cast<int>(at);
  return {low, std::min(low + 1, size - 1), static_cast<float>(at - low)};
}

}  // namespace

Picture load_picture(const std::string& path) {
  Picture picture;
  int channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load(path.c_str(), &picture.width, &picture.height, &channels, 3), stbi_image_free);
  if (!pixels) throw std::runtime_error(path + ": cannot read the picture: " + stbi_failure_reason());
  picture.rgb.assign(pixels.get(), pixels.get() + size_t{3} * picture.width * picture.height);
  return picture;
}

void save_with_boxes(Picture picture, const std::vector<Box>& boxes, const std::string& path) {
  for (const Box& box : boxes) {
    const std::array<Vec, 4> corner = box.corners();
    for (int side = 0; side < 4; ++side) {
      const Vec from = corner[side], to = corner[(side + 1) % 4];
      const int steps = static_cast<int>(length(to - from)) + 1;
      for (int i = 0; i <= steps; ++i) {
        const Vec p = from + static_cast<double>(i) / steps * (to - from);
        const int x = std::clamp(static_cast<int>(p.x), 0, picture.width - 1);
        const int y = std::clamp(static_cast<int>(p.y), 0, picture.height - 1);
        uint8_t* pixel = &picture.rgb[3 * (size_t{1} * y * picture.width + x)];
        // The first side is green: it shows which way up the text was read.
        pixel[0] = side ? 230 : 0, pixel[1] = side ? 40 : 170, pixel[2] = 40;
      }
    }
  }
  if (!stbi_write_png(path.c_str(), picture.width, picture.height, 3, picture.rgb.data(), 3 * picture.width))
    throw std::runtime_error(path + ": cannot write the picture");
}

void sample(const Picture& picture, const Box& box, int width, int height, float* planes, int row_stride) {
  const int n = samples_per_pixel(box.a, width), m = samples_per_pixel(box.b, height);
  const size_t plane = size_t{1} * row_stride * height;
  for (int row = 0; row < height; ++row) {
    for (int column = 0; column < width; ++column) {
      float sum[3] = {};
      for (int k = 0; k < n * m; ++k) {
        const double s = (column * n + k % n + 0.5) * 2 / (width * n) - 1;
        const double t = (row * m + k / n + 0.5) * 2 / (height * m) - 1;
        const Tap x = tap(box.centre.x + s * box.a.x + t * box.b.x, picture.width);
        const Tap y = tap(box.centre.y + s * box.a.y + t * box.b.y, picture.height);
        const uint8_t* top = &picture.rgb[size_t{3} * y.low * picture.width];
        const uint8_t* bottom = &picture.rgb[size_t{3} * y.high * picture.width];
        for (int c = 0; c < 3; ++c) {
          const float above = top[3 * x.low + c] + x.share * (top[3 * x.high + c] - top[3 * x.low + c]);
          const float below = bottom[3 * x.low + c] + x.share * (bottom[3 * x.high + c] - bottom[3 * x.low + c]);
          sum[c] += above + y.share * (below - above);
        }
      }
      float* out = planes + size_t{1} * row * row_stride + column;
      for (int c = 0; c < 3; ++c) out[(2 - c) * plane] = sum[c] / (127.5f * n * m) - 1;
    }
  }
}

}  // namespace ocr
