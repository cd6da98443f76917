// SPDX-License-Identifier: Apache-2.0
// Points and boxes in the plane, y downwards, in pixels; a pixel covers [x, x+1) x [y, y+1).
#pragma once
#include <array>
#include <cmath>
#include <vector>

namespace ocr {

struct Vec {
  double x = 0, y = 0;
};
inline Vec operator+(Vec p, Vec q) { return {p.x + q.x, p.y + q.y}; }
inline Vec operator-(Vec p, Vec q) { return {p.x - q.x, p.y - q.y}; }
inline Vec operator-(Vec p) { return {-p.x, -p.y}; }
inline Vec operator*(double k, Vec p) { return {k * p.x, k * p.y}; }
inline double dot(Vec p, Vec q) { return p.x * q.x + p.y * q.y; }
inline double length(Vec p) { return std::hypot(p.x, p.y); }

// A parallelogram around a line of text: its centre, half of the line's width (the text runs along it) and half of its
// height (from the ascenders down to the descenders).
struct Box {
  Vec centre, a, b;
  double ratio() const { return length(a) / length(b); }
  // From the text's own upper left corner clockwise.
  std::array<Vec, 4> corners() const { return {centre - a - b, centre + a - b, centre + a + b, centre - a + b}; }
  Box upside_down() const { return {centre, -a, -b}; }
};

// The rectangle of least area around the points (at least three that are not on one line); `a` is its more horizontal
// half side and points right.
Box smallest_rectangle(std::vector<Vec> points);

// Rows from top to bottom, each from left to right, seen along the median slope of the boxes.
std::vector<Box> in_reading_order(std::vector<Box> boxes);

}  // namespace ocr
