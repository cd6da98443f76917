// SPDX-License-Identifier: Apache-2.0
// Sliding windows over the spatial axes of images in either layout: what convolutions and pools share.
#pragma once
#include <string>
#include <vector>

#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics::cuda {

struct Window {
  bool last = false;  // channels are the last axis
  Shape in, out;      // spatial extents, in the launch's symbols
  Dim batch, channels, out_channels;
  std::vector<int64_t> kernel, strides, dilations;
  std::vector<Dim> pads;      // before each axis
  std::vector<Dim> pads_end;  // and behind

  size_t rank() const { return kernel.size(); }
  int64_t taps() const;
  // Strides of x's and y's axes [spatial...], and of the channel.
  Shape in_strides() const;
  Dim in_channel_stride() const { return last ? Dim(1) : size_of(in); }
};

struct WindowAttributes {
  std::string layout, auto_pad;
  std::vector<int64_t> kernel, strides, pads, dilations;
};

Window make_window(const WindowAttributes& a, const Shape& x, const Shape& y);

// Declares `<prefix>i<a>` = position o<a> * stride - pad + t<a> * dilation of the window's tap on each axis, from `o<a>` and `t<a>`, and
// the bool `<prefix>inside`.
std::string positions(Kernel& k, const Window& w, std::string_view prefix, const std::vector<std::string>& o, const std::vector<std::string>& t);
// Loops `for (int t0 ...) for (int t1 ...) {` over the taps; close with `close`.
std::string open_taps(const Window& w, std::string* close);

}  // namespace carnot::tactics::cuda
