// SPDX-License-Identifier: Apache-2.0
// Pictures, and parts of them as inputs of a network.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "geometry.hpp"

namespace ocr {

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // row after row, 3 bytes a pixel
};

// Reads a PNG, JPEG or whatever else stb_image knows; throws std::runtime_error with the path and the reason.
Picture load_picture(const std::string& path);
// Writes a PNG with the boxes drawn in; throws std::runtime_error.
void save_with_boxes(Picture picture, const std::vector<Box>& boxes, const std::string& path);

// Fills an image of three planes (blue, green, red; from -1 to 1) with the part of the picture under the box, width x
// height pixels: bilinear, and where the picture shrinks, the mean of several samples. Rows lie row_stride floats
// apart.
void sample(const Picture& picture, const Box& box, int width, int height, float* planes, int row_stride);

}  // namespace ocr
