// SPDX-License-Identifier: Apache-2.0
#include "reader.hpp"

#include <chrono>

namespace ocr {
namespace {

constexpr double kGuess = 0.5;  // confidence below which a line is left out

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Reader::Reader(const std::string& folder, int threads)
    : started_(now_ms()),
      detector_(folder + "/ppocr_det.engine", threads),
      classifier_(folder + "/ppocr_cls.engine", threads),
      recogniser_(folder + "/ppocr_rec.engine", threads),
      characters_(character_table(recogniser_)),
      load_ms_(now_ms() - started_) {}

Reading Reader::read(const Picture& picture) {
  const double start = now_ms();
  std::vector<Box> boxes = find_lines(picture, detector_);
  turn_upright(picture, boxes, classifier_);
  std::vector<Text> texts = recognise(picture, boxes, recogniser_, characters_);

  Reading reading;
  for (size_t i = 0; i < boxes.size(); ++i) {
    if (texts[i].confidence >= kGuess)
      reading.lines.push_back({boxes[i], std::move(texts[i].text), texts[i].confidence});
  }
  reading.ms = {detector_.take_ms(), classifier_.take_ms(), recogniser_.take_ms()};
  reading.ms.other = now_ms() - start - reading.ms.total();
  return reading;
}

}  // namespace ocr
