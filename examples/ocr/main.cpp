// SPDX-License-Identifier: Apache-2.0
// ocr_reader: prints every line of text in the given pictures with its place, confidence and the time of each stage.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "reader.hpp"

namespace {

using nlohmann::json;

json to_json(const ocr::Times& ms) {
  return {{"det", ms.detect}, {"cls", ms.classify}, {"rec", ms.recognise}, {"other", ms.other}, {"total", ms.total()}};
}

json to_json(const ocr::Line& line) {
  json corners = json::array();
  for (const ocr::Vec p : line.box.corners()) corners.push_back({p.x, p.y});
  return {{"text", line.text}, {"confidence", line.confidence}, {"box", corners}};
}

void print(const std::string& name, const ocr::Picture& picture, const ocr::Reading& reading) {
  std::printf("\n%s  %d x %d\n", name.c_str(), picture.width, picture.height);
  for (const ocr::Line& line : reading.lines) {
    std::printf("  %.3f ", line.confidence);
    for (const ocr::Vec p : line.box.corners()) std::printf(" %4.0f,%-4.0f", p.x, p.y);
    std::printf("  %s\n", line.text.c_str());
  }
  const ocr::Times& ms = reading.ms;
  std::printf("  ms: det %.1f  cls %.1f  rec %.1f  other %.1f  total %.1f\n", ms.detect, ms.classify, ms.recognise,
              ms.other, ms.total());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Reads the text in pictures: a line each with its confidence, its corners (x,y in pixels) and the text.");
  std::string models = ".cache/demo", json_path, draw_folder;
  std::vector<std::string> paths;
  int threads = 0, repeat = 1;
  app.add_option("--models", models, "folder with ppocr_det.engine, ppocr_cls.engine, ppocr_rec.engine")
      ->capture_default_str();
  app.add_option("--threads", threads, "0: one per core")->capture_default_str();
  app.add_option("--repeat", repeat, "read each picture so often; the fastest time counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--json", json_path, "write lines and times to this file too");
  app.add_option("--draw", draw_folder, "write the pictures with their boxes into this folder");
  app.add_option("PICTURE", paths, "PNG or JPEG files")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) ? 2 : 0;
  }
  try {
    ocr::Reader reader(models, threads);
    std::printf("ms: load %.1f\n", reader.load_ms());
    json report = {{"load", reader.load_ms()}, {"pictures", json::array()}};
    for (const std::string& path : paths) {
      const std::string name = std::filesystem::path(path).filename();
      const ocr::Picture picture = ocr::load_picture(path);
      ocr::Reading reading = reader.read(picture);
      for (int i = 1; i < repeat; ++i) {
        ocr::Reading again = reader.read(picture);
        if (again.ms.total() < reading.ms.total()) reading = std::move(again);
      }
      print(name, picture, reading);
      json lines = json::array();
      std::vector<ocr::Box> boxes;
      for (const ocr::Line& line : reading.lines) {
        lines.push_back(to_json(line));
        boxes.push_back(line.box);
      }
      report["pictures"].push_back({{"picture", name}, {"lines", lines}, {"ms", to_json(reading.ms)}});
      if (!draw_folder.empty()) ocr::save_with_boxes(picture, boxes, std::filesystem::path(draw_folder) / name);
    }
    if (!json_path.empty() && !(std::ofstream(json_path) << report.dump(1) << '\n'))
      throw std::runtime_error(json_path + ": cannot write");
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "ocr_reader: error: %s\n", problem.what());
    return 1;
  }
  return 0;
}
