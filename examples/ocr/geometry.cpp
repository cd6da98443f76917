// SPDX-License-Identifier: Apache-2.0
#include "geometry.hpp"

#include <algorithm>
#include <limits>

namespace ocr {
namespace {

double cross(Vec o, Vec p, Vec q) { return (p.x - o.x) * (q.y - o.y) - (p.y - o.y) * (q.x - o.x); }

bool before(Vec p, Vec q) { return p.x != q.x ? p.x < q.x : p.y < q.y; }

// The corners of the convex hull, in order around it: the lower chain, then the upper one.
std::vector<Vec> convex_hull(std::vector<Vec> points) {
  std::sort(points.begin(), points.end(), before);
  std::vector<Vec> hull;
  for (int side = 0; side < 2; ++side) {
    const size_t start = hull.size();
    for (const Vec p : points) {
      while (hull.size() > start + 1 && cross(hull[hull.size() - 2], hull.back(), p) <= 0) hull.pop_back();
      hull.push_back(p);
    }
    hull.pop_back();  // the other chain begins with it
    std::reverse(points.begin(), points.end());
  }
  return hull;
}

}  // namespace

Box smallest_rectangle(std::vector<Vec> points) {
  const std::vector<Vec> hull = convex_hull(std::move(points));
  double least = std::numeric_limits<double>::infinity();
  Box best;
  // One side of the smallest rectangle lies on an edge of the hull.
  for (size_t i = 0; i < hull.size(); ++i) {
    const Vec edge = hull[(i + 1) % hull.size()] - hull[i];
    if (length(edge) == 0) continue;
    Vec u = {edge.x / length(edge), edge.y / length(edge)};
    if (std::abs(u.x) < std::abs(u.y)) u = {-u.y, u.x};
    if (u.x < 0) u = -u;
    const Vec v = {-u.y, u.x};
    double left = dot(hull[0], u), right = left, top = dot(hull[0], v), bottom = top;
    for (const Vec p : hull) {
      left = std::min(left, dot(p, u)), right = std::max(right, dot(p, u));
      top = std::min(top, dot(p, v)), bottom = std::max(bottom, dot(p, v));
    }
    const double area = (right - left) * (bottom - top);
    // The margin makes the first of equal rectangles win, whatever the rounding.
    if (area >= least - 1e-6) continue;
    least = area;
    best = {(left + right) / 2 * u + (top + bottom) / 2 * v, (right - left) / 2 * u, (bottom - top) / 2 * v};
  }
  return best;
}

std::vector<Box> in_reading_order(std::vector<Box> boxes) {
  if (boxes.empty()) return boxes;
  std::vector<double> slopes;
  for (const Box& box : boxes) slopes.push_back(std::atan2(box.a.y, box.a.x));
  std::sort(slopes.begin(), slopes.end());
  double slope = slopes[slopes.size() / 2];
  if (std::abs(slope) >= std::atan(1.0)) slope = 0;  // most lines run downwards: the page itself is not turned
  const Vec along = {std::cos(slope), std::sin(slope)}, across = {-along.y, along.x};

  std::stable_sort(boxes.begin(), boxes.end(),
                   [&](const Box& p, const Box& q) { return dot(p.centre, across) < dot(q.centre, across); });
  // A row is whatever lies less than half of the smaller height below the row's first box.
  for (auto first = boxes.begin(); first != boxes.end();) {
    const auto last = std::find_if(first, boxes.end(), [&](const Box& box) {
      return dot(box.centre - first->centre, across) >= std::min(length(box.b), length(first->b));
    });
    const auto next = std::max(last, first + 1);
    std::stable_sort(first, next,
                     [&](const Box& p, const Box& q) { return dot(p.centre, along) < dot(q.centre, along); });
    first = next;
  }
  return boxes;
}

}  // namespace ocr
