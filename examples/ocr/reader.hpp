// SPDX-License-Identifier: Apache-2.0
// Reads the text in pictures: finds the lines, turns them upright, recognises them.
//
//   ocr::Reader reader("models", 2);
//   for (const ocr::Line& line : reader.read(ocr::load_picture("page.png")).lines) puts(line.text.c_str());
#pragma once
#include <string>
#include <vector>

#include "networks.hpp"

namespace ocr {

struct Line {
  Box box;  // in the picture; its first corner is the text's own upper left one
  std::string text;
  double confidence;  // mean probability of its letters
};

// Milliseconds. The networks' time is that of their runs alone; `other` is the work on pixels and boxes around them.
struct Times {
  double detect = 0, classify = 0, recognise = 0, other = 0;
  double total() const { return detect + classify + recognise + other; }
};

struct Reading {
  std::vector<Line> lines;
  Times ms;
};

class Reader {
 public:
  // Loads ppocr_det.engine, ppocr_cls.engine and ppocr_rec.engine from the folder. Throws carnot::Exception.
  Reader(const std::string& folder, int threads);
  // The lines in reading order; those that are mere guesses are left out.
  Reading read(const Picture& picture);
  double load_ms() const { return load_ms_; }

 private:
  double started_;
  Network detector_, classifier_, recogniser_;
  std::vector<std::string> characters_;
  double load_ms_;
};

}  // namespace ocr
