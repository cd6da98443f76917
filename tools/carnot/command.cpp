// SPDX-License-Identifier: Apache-2.0
#include "command.hpp"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/mapped_file.hpp"
#include "engine/reader.hpp"
#include "engine/writer.hpp"
#include "importers/onnx/import.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"

namespace carnot::tool {
namespace {

std::atomic<bool> stop{false};
void on_signal(int) { stop = true; }

// Models and engines are mapped: where somebody cuts such a file short, there is nothing to read any more.
void on_lost_page(int) {
  constexpr char kText[] = "carnot: error: a model or an engine was cut short while it was in use; write a new file and rename it over the old one\n";
  (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(kRefused);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One line that is rewritten, with the time that is left at the pace so far. Only where somebody watches.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet) : shown_(!quiet && ::isatty(2)) {}
  ~ProgressLine() {
    if (shown_ && drawn_) std::fprintf(stderr, "\r\033[K");
  }
  void update(std::string_view phase, double done) {
    const double elapsed = seconds_since(begin_);
    if (!shown_ || elapsed - last_ < 0.1) return;
    last_ = elapsed;
    drawn_ = true;
    const int filled = static_cast<int>(done * 24);
    std::fprintf(stderr, "\r\033[K%-12.*s [%s%s] %3d %%  %.1f s, about %.1f s left", static_cast<int>(phase.size()), phase.data(), std::string(static_cast<size_t>(filled), '#').c_str(),
                 std::string(static_cast<size_t>(24 - filled), '.').c_str(), static_cast<int>(done * 100), elapsed, done > 0.01 ? elapsed / done * (1 - done) : 0.0);
    std::fflush(stderr);
  }

 private:
  bool shown_, drawn_ = false;
  double last_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// An ONNX file, or the text form of a graph.
Result<std::unique_ptr<ir::Graph>> import_model(const std::string& path) {
  CARNOT_ASSIGN(auto file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (!text.starts_with("graph ") && !text.starts_with("//")) return onnx::import_onnx_file(path, {});
  auto graph = ir::parse(text);
  if (!graph) return std::move(graph.error()).within(path);
  if (Status status = ir::verify(**graph); !status) return std::move(status.error()).within(path);
  return graph;
}

std::string cache_folder() {
  if (const char* dir = std::getenv("CARNOT_CACHE_DIR")) return dir;
  if (const char* dir = std::getenv("XDG_CACHE_HOME")) return std::string(dir) + "/carnot";
  if (const char* dir = std::getenv("HOME")) return std::string(dir) + "/.cache/carnot";
  return "";
}

}  // namespace

bool interrupted() { return stop; }
void catch_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGBUS, on_lost_page);
}

int report(const Error& error) {
  std::fprintf(stderr, "carnot: error: %s\n", error.message.c_str());
  if (error.code != Code::kInternal) return kRefused;
  std::fprintf(stderr, "carnot: this is a bug of ours; please report it with the model and this command line\n");
  return kBug;
}

Result<std::pair<std::string, compiler::ShapeRange>> parse_shape(const std::string& text) {
  // The name may hold colons ("input:0"): the range begins behind the last one.
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return invalid("--shape {}: write NAME:1x3x224x224 or NAME:MIN..OPT..MAX", text);
  std::vector<Dims> parts;
  std::string rest = text.substr(colon + 1);
  while (true) {
    const size_t dots = rest.find("..");
    const std::string part = rest.substr(0, dots);
    Dims dims;
    std::string number;
    for (size_t i = 0; i <= part.size(); ++i) {
      const char c = i < part.size() ? part[i] : 'x';
      if (c >= '0' && c <= '9') {
        number += c;
      } else if ((c == 'x' || c == ',') && !number.empty() && number.size() < 16) {
        dims.push_back(std::stoll(number));
        number.clear();
      } else if (!(part.empty() && i == 0)) {
        return invalid("--shape {}: '{}' is no list of sizes such as 1x3x224x224", text, part);
      }
    }
    parts.push_back(std::move(dims));
    if (dots == std::string::npos) break;
    rest = rest.substr(dots + 2);
  }
  if (parts.size() > 3) return invalid("--shape {}: more than MIN..OPT..MAX", text);
  compiler::ShapeRange range{parts.front(), parts[parts.size() / 2], parts.back()};
  return std::pair{text.substr(0, colon), range};
}

Result<std::vector<Dims>> input_shapes(const Engine& engine, const std::vector<std::string>& texts, const std::function<int64_t(const IoInfo&, size_t)>& unnamed) {
  std::map<std::string, compiler::ShapeRange> shapes;
  for (const std::string& text : texts) {
    CARNOT_ASSIGN(auto shape, parse_shape(text));
    shapes.insert(std::move(shape));
  }
  std::vector<Dims> out;
  for (const IoInfo& io : engine.inputs()) {
    out.push_back(io.dims);
    if (auto it = shapes.find(io.name); it != shapes.end()) {
      out.back() = it->second.opt;
      shapes.erase(it);
    }
    for (size_t a = 0; a < out.back().size(); ++a)
      if (out.back()[a] < 0) out.back()[a] = unnamed(io, a);
  }
  if (!shapes.empty()) return invalid("--shape names input '{}', which the engine does not have", shapes.begin()->first);
  return out;
}

Result<std::vector<std::byte>> build_model(const std::string& path, compiler::BuildOptions options, bool quiet) {
  ProgressLine line(quiet);
  line.update("import", 0.0);
  CARNOT_ASSIGN(std::unique_ptr<ir::Graph> graph, import_model(path));
  options.progress = [&](std::string_view phase, double done) {
    line.update(phase, done);
    return !interrupted();
  };
  auto bytes = compiler::compile(std::move(graph), options);
  if (!bytes) return std::move(bytes.error()).within(path);
  return bytes;
}

Result<Engine> open_engine(const std::string& path, double* build_seconds, const std::string& device) {
  if (build_seconds) *build_seconds = 0;
  {
    CARNOT_ASSIGN(auto file, MappedFile::open(path));
    if (engine::looks_like_engine(file->bytes())) return Engine::load(path);
  }
  // Cached by the model's path, size and time, and by those of this program: a changed model, or a changed compiler, builds again.
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error).string();
  const auto stamp = std::filesystem::last_write_time(path, error).time_since_epoch().count();
  const auto size = std::filesystem::file_size(path, error);
  const std::string folder = cache_folder();
  const auto compiler = std::filesystem::last_write_time("/proc/self/exe", error).time_since_epoch().count();
  const size_t key = std::hash<std::string>()(fmt::format("{}|{}|{}|{}|{}|{}", device, real, stamp, size, compiler, carnot_version()));
  const std::string cached = fmt::format("{}/{}-{:016x}.engine", folder, std::filesystem::path(path).stem().string(), key);
  if (!folder.empty() && std::filesystem::exists(cached, error)) {
    carnot_engine* handle = nullptr;
    if (carnot_engine_load(cached.c_str(), &handle) == CARNOT_OK) return Engine(handle);
  }
  compiler::BuildOptions options;
  if (!device.empty()) options.device = device;
  const auto begin = std::chrono::steady_clock::now();
  CARNOT_ASSIGN(std::vector<std::byte> bytes, build_model(path, options, false));
  if (build_seconds) *build_seconds = seconds_since(begin);
  std::filesystem::create_directories(folder, error);
  if (!folder.empty() && engine::write_file(cached, bytes)) {
    std::vector<std::byte>().swap(bytes);
    return Engine::load(cached);
  }
  // No cache to write to: run from memory that stays until the program ends, since engines read constants in place.
  carnot_engine* handle = nullptr;
  AlignedPtr copy = aligned_allocate(bytes.size());
  if (!copy) return fail(Code::kOutOfMemory, "no memory for an engine of {} bytes", bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  check(carnot_engine_load_memory(copy.release(), bytes.size(), &handle));
  return Engine(handle);
}

}  // namespace carnot::tool
