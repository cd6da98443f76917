// SPDX-License-Identifier: Apache-2.0
// The networks that look at one line each: which way up it is, and what it says.
#include <algorithm>
#include <chrono>
#include <numeric>
#include <sstream>

#include "networks.hpp"

namespace ocr {
namespace {

constexpr int kHeight = 48;  // of the strips that both networks take
constexpr int kClassifierWidth = 192;
constexpr int kRecogniserWidth = 320;  // at least
constexpr int kWidthStep = 32;         // few different widths: a session remembers the layout of each
constexpr size_t kBatch = 6;
constexpr float kUpsideDown = 0.9f;

// Puts the box into an input of the given width: cut or padded with grey on the right.
void put_strip(const Picture& picture, Box box, int width, float* input) {
  const int whole = static_cast<int>(std::ceil(kHeight * box.ratio()));
  const double part = std::min(1.0, width / (kHeight * box.ratio()));
  box.centre = box.centre + (part - 1) * box.a;
  box.a = part * box.a;
  std::fill_n(input, 3 * kHeight * width, 0.0f);
  sample(picture, box, std::min(width, whole), kHeight, input, width);
}

// Reads the best class of each step: 0 is the gap, and a class that repeats is one letter.
Text decode(const float* p, size_t steps, const std::vector<std::string>& characters) {
  Text line;
  double sum = 0;
  size_t kept = 0, previous = 0;
  for (size_t t = 0; t < steps; ++t, p += characters.size()) {
    const size_t best = std::max_element(p, p + characters.size()) - p;
    if (best != 0 && (t == 0 || best != previous)) {
      line.text += characters[best];
      sum += p[best];
      ++kept;
    }
    previous = best;
  }
  line.confidence = kept ? sum / static_cast<double>(kept) : 0;
  return line;
}

}  // namespace

Network::Network(const std::string& path, int threads)
    : path_(path), engine_(carnot::Engine::load(path)), session_(engine_, {.threads = threads}) {
  const std::vector<carnot::IoInfo> inputs = engine_.inputs(), outputs = engine_.outputs();
  if (inputs.size() != 1 || outputs.size() != 1)
    throw std::runtime_error(path + ": a network of the reader has one input and one output");
  input_ = inputs[0].name;
  output_ = outputs[0].name;
}

carnot::TensorRef Network::run(const std::vector<float>& input, std::vector<int64_t> dims, size_t rank) {
  const auto start = std::chrono::steady_clock::now();
  session_.set_input(input_, carnot::tensor(input.data(), std::move(dims)));
  session_.run();
  ms_ += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  carnot::TensorRef output = session_.output(output_);
  if (output.dims().size() != rank)
    throw std::runtime_error(path_ + ": the output has " + std::to_string(output.dims().size()) + " dimensions, not " +
                             std::to_string(rank));
  return output;
}

// The classifier sees how a line begins. The whole line, squeezed into its narrow input, misleads it.
void turn_upright(const Picture& picture, std::vector<Box>& boxes, Network& classifier) {
  const size_t strip = 3 * kHeight * kClassifierWidth;
  for (size_t first = 0; first < boxes.size(); first += kBatch) {
    const size_t count = std::min(kBatch, boxes.size() - first);
    std::vector<float> input(count * strip);
    for (size_t k = 0; k < count; ++k) put_strip(picture, boxes[first + k], kClassifierWidth, &input[k * strip]);
    const carnot::TensorRef output =
        classifier.run(input, {static_cast<int64_t>(count), 3, kHeight, kClassifierWidth}, 2);
    if (output.dims()[1] != 2) throw std::runtime_error(classifier.path() + ": not an angle classifier of two classes");
    const float* p = output.data<float>();
    for (size_t k = 0; k < count; ++k, p += 2) {
      if (p[1] > p[0] && p[1] > kUpsideDown) boxes[first + k] = boxes[first + k].upside_down();
    }
  }
}

// Lines of similar length go together, for a batch is as wide as its longest.
std::vector<Text> recognise(const Picture& picture, const std::vector<Box>& boxes, Network& recogniser,
                            const std::vector<std::string>& characters) {
  std::vector<Text> lines(boxes.size());
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return boxes[i].ratio() < boxes[j].ratio(); });
  for (size_t first = 0; first < order.size(); first += kBatch) {
    const size_t count = std::min(kBatch, order.size() - first);
    const double longest = kHeight * boxes[order[first + count - 1]].ratio();
    const int width = std::max(kRecogniserWidth, static_cast<int>(std::ceil(longest / kWidthStep)) * kWidthStep);
    const size_t strip = size_t{3} * kHeight * width;
    std::vector<float> input(count * strip);
    for (size_t k = 0; k < count; ++k) put_strip(picture, boxes[order[first + k]], width, &input[k * strip]);
    const carnot::TensorRef output = recogniser.run(input, {static_cast<int64_t>(count), 3, kHeight, width}, 3);
    const size_t steps = static_cast<size_t>(output.dims()[1]), classes = static_cast<size_t>(output.dims()[2]);
    if (classes != characters.size())
      throw std::runtime_error(recogniser.path() + ": " + std::to_string(classes) + " classes, but " +
                               std::to_string(characters.size()) + " characters in its metadata");
    for (size_t k = 0; k < count; ++k)
      lines[order[first + k]] = decode(output.data<float>() + k * steps * classes, steps, characters);
  }
  return lines;
}

std::vector<std::string> character_table(const Network& recogniser) {
  std::istringstream lines(recogniser.metadata("character"));
  std::vector<std::string> table = {""};
  for (std::string line; std::getline(lines, line);) table.push_back(line);
  table.push_back(" ");
  return table;
}

}  // namespace ocr
