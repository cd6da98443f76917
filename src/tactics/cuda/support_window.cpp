// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_window.hpp"

namespace carnot::tactics::cuda {

int64_t Window::taps() const {
  int64_t n = 1;
  for (const int64_t k : kernel) n *= k;
  return n;
}

Shape Window::in_strides() const {
  Shape s = strides_of(in);
  if (last)
    for (Dim& d : s) d = d * channels;
  return s;
}

Window make_window(const WindowAttributes& a, const Shape& x, const Shape& y) {
  Window w;
  const size_t n = x.size() - 2;
  w.last = a.layout == "nhwc";
  w.batch = x[0];
  w.channels = x[w.last ? n + 1 : 1];
  w.out_channels = y[w.last ? n + 1 : 1];
  w.kernel = a.kernel;
  w.strides = a.strides.empty() ? std::vector<int64_t>(n, 1) : a.strides;
  w.dilations = a.dilations.empty() ? std::vector<int64_t>(n, 1) : a.dilations;
  for (size_t i = 0; i < n; ++i) {
    w.in.push_back(x[i + (w.last ? 1 : 2)]);
    w.out.push_back(y[i + (w.last ? 1 : 2)]);
    Dim before = 0, behind = 0;
    if (a.auto_pad.starts_with("SAME")) {
      const Dim total = Dim::max((w.out[i] - 1) * w.strides[i] + Dim((w.kernel[i] - 1) * w.dilations[i] + 1) - w.in[i], 0), half = Dim::floordiv(total, 2);
      before = a.auto_pad == "SAME_LOWER" ? total - half : half;
      behind = total - before;
    } else if (a.auto_pad != "VALID" && !a.pads.empty()) {
      before = a.pads[i];
      behind = a.pads[n + i];
    }
    w.pads.push_back(before);
    w.pads_end.push_back(behind);
  }
  return w;
}

std::string positions(Kernel& k, const Window& w, std::string_view prefix, const std::vector<std::string>& o, const std::vector<std::string>& t) {
  std::string text, inside;
  for (size_t a = 0; a < w.rank(); ++a) {
    std::string at = w.strides[a] == 1 ? o[a] : fmt::format("{} * {}", o[a], w.strides[a]);
    if (!w.pads[a].is(0)) at += " - " + k.value(w.pads[a]);
    if (w.kernel[a] != 1) at += w.dilations[a] == 1 ? " + " + t[a] : fmt::format(" + {} * {}", t[a], w.dilations[a]);
    text += fmt::format("const I {}i{} = {}; ", prefix, a, at);
    inside += fmt::format("{}{}i{} >= 0 && {}i{} < {}", a ? " && " : "", prefix, a, prefix, a, k.value(w.in[a]));
  }
  return text + fmt::format("const bool {}inside = {};\n", prefix, inside);
}

std::string open_taps(const Window& w, std::string* close) {
  std::string text;
  for (size_t a = 0; a < w.rank(); ++a) {
    text += fmt::format("  for (int t{} = 0; t{} < {}; ++t{}) {{\n", a, a, w.kernel[a], a);
    *close += "  }\n";
  }
  return text;
}

}  // namespace carnot::tactics::cuda
