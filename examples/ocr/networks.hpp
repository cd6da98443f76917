// SPDX-License-Identifier: Apache-2.0
// The three networks of the reader, each with what comes before and after it.
#pragma once
#include <string>
#include <vector>

#include "carnot/carnot.hpp"
#include "geometry.hpp"
#include "picture.hpp"

namespace ocr {

struct Text {
  std::string text;  // UTF-8
  double confidence = 0;
};

// One engine and its session; adds up how long it ran.
class Network {
 public:
  Network(const std::string& path, int threads);
  // Runs on the only input; the only output is valid until the next call. Throws if its rank is not `rank`.
  carnot::TensorRef run(const std::vector<float>& input, std::vector<int64_t> dims, size_t rank);
  std::string metadata(const std::string& key) const { return engine_.metadata(key); }
  const std::string& path() const { return path_; }
  double take_ms() { return std::exchange(ms_, 0.0); }  // since the last call

 private:
  std::string path_;
  carnot::Engine engine_;
  carnot::Session session_;
  std::string input_, output_;
  double ms_ = 0;
};

// The lines of text in a picture, in reading order.
std::vector<Box> find_lines(const Picture& picture, Network& detector);

// Turns boxes by 180 degrees where the classifier is sure that the text is upside down.
void turn_upright(const Picture& picture, std::vector<Box>& boxes, Network& classifier);

// What stands in each box. `characters`: what each class of the recogniser stands for, see character_table.
std::vector<Text> recognise(const Picture& picture, const std::vector<Box>& boxes, Network& recogniser,
                            const std::vector<std::string>& characters);

// The classes of a recogniser: the gap, one a line of its metadata "character", the space.
std::vector<std::string> character_table(const Network& recogniser);

}  // namespace ocr
