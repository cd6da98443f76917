// SPDX-License-Identifier: Apache-2.0
// The detector gives each pixel the probability that it belongs to the core of a line of text. Regions of likely pixels
// become the smallest rectangles around them, and these grow by what the core lacks.
#include <algorithm>
#include <map>
#include <numeric>

#include "networks.hpp"

namespace ocr {
namespace {

constexpr float kLikely = 0.3f;     // a pixel belongs to a region
constexpr double kSure = 0.5;       // a region's mean probability
constexpr double kMinSide = 3;      // of a region, in pixels of the map
constexpr double kGrowth = 2.0;     // in units of area / perimeter of the region; the recogniser likes some margin
constexpr double kShortSide = 736;  // small pictures are enlarged to this
constexpr double kLongSide = 2000;  // large ones are reduced to this

struct Map {
  int width, height;
  const float* p;
};

// Pixels first..last of one row that belong to the mask.
struct Run {
  int y, first, last;
};

// A pixel belongs to the mask if it or its left, upper or upper left neighbour is likely. That closes gaps of one
// pixel; it also makes the mask's coordinates those of pixel corners: the point (x, y) is the lower right corner of
// pixel (x-1, y-1).
std::vector<Run> mask_runs(const Map& map) {
  std::vector<Run> runs;
  std::vector<uint8_t> above(map.width + 1), row(map.width + 1);
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x) row[x + 1] = map.p[size_t{1} * y * map.width + x] > kLikely;
    const auto set = [&](int x) { return row[x + 1] | row[x] | above[x + 1] | above[x]; };
    for (int x = 0; x < map.width; ++x) {
      if (!set(x)) continue;
      const int first = x;
      while (x + 1 < map.width && set(x + 1)) ++x;
      runs.push_back({y, first, x});
    }
    std::swap(above, row);
  }
  return runs;
}

// The ends of the runs of each 8-connected region.
std::vector<std::vector<Vec>> regions(const std::vector<Run>& runs) {
  std::vector<size_t> parent(runs.size());
  std::iota(parent.begin(), parent.end(), size_t{0});
  const auto root = [&](size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  size_t above = 0;  // the first run that may touch the current one from the row before
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    while (runs[above].y < run.y - 1 || (runs[above].y == run.y - 1 && runs[above].last < run.first - 1)) ++above;
    for (size_t j = above; j < i && runs[j].y == run.y - 1 && runs[j].first <= run.last + 1; ++j) {
      const size_t p = root(i), q = root(j);
      parent[std::max(p, q)] = std::min(p, q);
    }
  }
  std::map<size_t, std::vector<Vec>> found;
  for (size_t i = 0; i < runs.size(); ++i) {
    std::vector<Vec>& points = found[root(i)];
    points.push_back({1.0 * runs[i].first, 1.0 * runs[i].y});
    points.push_back({1.0 * runs[i].last, 1.0 * runs[i].y});
  }
  std::vector<std::vector<Vec>> out;
  for (auto& [first, points] : found) out.push_back(std::move(points));
  return out;
}

// The mean probability of the pixels whose centres lie in the box.
double mean_inside(const Map& map, const Box& box) {
  const double reach_x = std::abs(box.a.x) + std::abs(box.b.x), reach_y = std::abs(box.a.y) + std::abs(box.b.y);
  const int x0 = std::max(0, static_cast<int>(box.centre.x - reach_x) - 1);
  const int x1 = std::min(map.width - 1, static_cast<int>(box.centre.x + reach_x) + 1);
  const int y0 = std::max(0, static_cast<int>(box.centre.y - reach_y) - 1);
  const int y1 = std::min(map.height - 1, static_cast<int>(box.centre.y + reach_y) + 1);
  double sum = 0;
  size_t count = 0;
  for (int y = y0; y <= y1; ++y) {
    for (int x = x0; x <= x1; ++x) {
      const Vec d = Vec{x + 0.5, y + 0.5} - box.centre;
      if (std::abs(dot(d, box.a)) > dot(box.a, box.a) || std::abs(dot(d, box.b)) > dot(box.b, box.b)) continue;
      sum += map.p[size_t{1} * y * map.width + x];
      ++count;
    }
  }
  return count ? sum / static_cast<double>(count) : 0;
}

int multiple_of_32(double size) { return std::max(32, static_cast<int>(std::nearbyint(size / 32)) * 32); }

}  // namespace

std::vector<Box> find_lines(const Picture& picture, Network& detector) {
  const double w = picture.width, h = picture.height;
  const double scale = std::min(std::max(1.0, kShortSide / std::min(w, h)), kLongSide / std::max(w, h));
  const int width = multiple_of_32(w * scale), height = multiple_of_32(h * scale);
  std::vector<float> input(size_t{3} * width * height);
  sample(picture, {{w / 2, h / 2}, {w / 2, 0}, {0, h / 2}}, width, height, input.data(), width);
  const carnot::TensorRef heat = detector.run(input, {1, 3, height, width}, 4);
  if (heat.dims() != std::vector<int64_t>{1, 1, height, width})
    throw std::runtime_error(detector.path() + ": not a text detector: its output is not a map of the picture's size");
  const Map map{width, height, heat.data<float>()};

  std::vector<Box> boxes;
  const auto to_picture = [&](Vec p) { return Vec{p.x * w / width, p.y * h / height}; };
  for (std::vector<Vec>& points : regions(mask_runs(map))) {
    Box box = smallest_rectangle(std::move(points));
    const double la = length(box.a), lb = length(box.b);
    if (2 * std::min(la, lb) < kMinSide || mean_inside(map, box) < kSure) continue;
    const double grow = kGrowth * la * lb / (la + lb);
    box.a = (1 + grow / la) * box.a;
    box.b = (1 + grow / lb) * box.b;
    // A tall box is a line that runs downwards (or upwards: the angle classifier sees to that).
    if (lb + grow >= 1.5 * (la + grow)) box = {box.centre, box.b, -box.a};
    boxes.push_back({to_picture(box.centre), to_picture(box.a), to_picture(box.b)});
  }
  return in_reading_order(std::move(boxes));
}

}  // namespace ocr
