// SPDX-License-Identifier: Apache-2.0
#include "host_run.hpp"

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace carnot::test {
namespace {
namespace fs = std::filesystem;

constexpr size_t kTextsPerFile = 24;
constexpr char kFlags[] = "-std=c++20 -O1 -w -fwrapv -fno-strict-aliasing -mf16c -fPIC -shared";

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string hash_of(const std::string& text) { return fmt::format("{:016x}", std::hash<std::string>{}(text)); }

// Pages of which the last may not be touched.
class Pages {
 public:
  explicit Pages(size_t bytes) : size_((bytes + 4095) / 4096 * 4096 + 4096), base_(static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))), bytes_(bytes) {
    mprotect(base_ + size_ - 4096, 4096, PROT_NONE);
    std::memset(base_, 0xcd, size_ - 4096);
  }
  Pages(const Pages&) = delete;
  ~Pages() { munmap(base_, size_); }
  char* at_end() const { return base_ + size_ - 4096 - bytes_; }
  char* at_start() const { return base_; }

 private:
  size_t size_;
  char* base_;
  size_t bytes_;
};

}  // namespace

Status HostTexts::compile(const std::vector<const tactics::Candidate*>& candidates) {
  std::map<std::string, const std::string*> texts;
  for (const auto* c : candidates) texts.emplace(*find_attr<std::string>(c->params, "entry"), &c->code);
  struct File {
    fs::path source, library;
    std::vector<std::string> entries;
  };
  const std::string shim = read(CARNOT_TEXT_SHIM);
  std::vector<File> files;
  auto it = texts.begin();
  while (it != texts.end()) {
    File file;
    std::string source = shim;
    for (size_t n = 0; n < kTextsPerFile && it != texts.end(); ++n, ++it) {
      source += fmt::format("namespace k{} {{\n{}}}\n", n, *it->second);
      file.entries.push_back(it->first);
    }
    const fs::path stem = fs::path(CARNOT_TEXT_FOLDER) / ("texts_" + hash_of(kFlags + source));
    file.source = stem.string() + ".cpp";
    file.library = stem.string() + ".so";
    if (!fs::exists(file.library)) std::ofstream(file.source) << source;
    files.push_back(std::move(file));
  }
  // What no text belongs to any more goes.
  std::set<std::string> wanted;
  for (const File& f : files) wanted.insert({f.source.filename().string(), f.library.filename().string()});
  for (const auto& entry : fs::directory_iterator(CARNOT_TEXT_FOLDER)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("texts_") && !wanted.count(name)) fs::remove(entry.path());
  }
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::string message;
  std::mutex mutex;
  auto work = [&] {
    for (size_t i; (i = next++) < files.size() && !failed;) {
      if (fs::exists(files[i].library)) continue;
      const std::string log = files[i].source.string() + ".log", made = files[i].library.string() + ".new";
      const std::string command = fmt::format("{} {} -o {} {} >{} 2>&1", CARNOT_TEXT_COMPILER, kFlags, made,
                                              files[i].source.string(), log);
      if (std::system(command.c_str()) != 0) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) message = fmt::format("{}\n{}", command, read(log).substr(0, 3000));
        return;
      }
      fs::rename(made, files[i].library);
      fs::remove(log);
    }
  };
  std::thread second(work);
  work();
  second.join();
  if (failed) return invalid("{}", message);
  for (const File& f : files) {
    void* handle = dlopen(f.library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) return invalid("{}", dlerror());
    for (const std::string& entry : f.entries) by_entry_[entry] = {dlsym(handle, "shim_launch"), handle};
  }
  return {};
}

Result<std::vector<Constant>> HostTexts::run(const Trial& trial, Memory memory) const {
  const tactics::Candidate& c = trial.candidate;
  const std::string entry = *find_attr<std::string>(c.params, "entry");
  const Library& library = by_entry_.at(entry);
  void* function = dlsym(library.handle, entry.c_str());
  if (!function) return invalid("no entry '{}'", entry);

  std::vector<std::unique_ptr<Pages>> pages;
  std::vector<uint64_t> args;
  std::map<std::string, int64_t, std::less<>> symbols;
  auto describe = [&](char kind, size_t k, const Dims& dims) {
    for (size_t a = 0; a < dims.size(); ++a) symbols[fmt::format("{}{}d{}", kind, k, a)] = dims[a];
    symbols[fmt::format("{}{}n", kind, k)] = size_of(dims);
  };
  auto place = [&](size_t bytes) {
    pages.push_back(std::make_unique<Pages>(bytes));
    char* p = memory == Memory::kTight ? pages.back()->at_end() : pages.back()->at_start();
    args.push_back(reinterpret_cast<uint64_t>(p));
    return p;
  };
  for (size_t k = 0; k < c.inputs.size(); ++k) {
    const tactics::Operand& o = c.inputs[k];
    const Constant* t = o.input >= 0 ? &*trial.inputs[static_cast<size_t>(o.input)] : o.constant.get();
    if (!t) {
      args.push_back(0);
      continue;
    }
    describe('i', k, t->dims);
    std::memcpy(place(t->bytes()), t->data, t->bytes());
  }
  std::vector<char*> results;
  std::vector<TensorView> shapes;
  // A result that is not asked for gets memory as large as one that is.
  const auto wanted = std::find_if(trial.expected.begin(), trial.expected.end(), [](const auto& e) { return e.has_value(); });
  if (wanted == trial.expected.end()) return invalid("no result is asked for");
  for (size_t k = 0; k < trial.expected.size(); ++k) {
    const auto& e = trial.expected[k];
    const Constant none = Constant::allocate(trial.node->outputs[k]->dtype(), e ? e->dims : (*wanted)->dims);
    shapes.push_back({none.dtype, none.dims, nullptr});
    describe('o', k, none.dims);
    if (memory == Memory::kInPlace && k == 0) {
      args.push_back(args[0]);
      results.push_back(reinterpret_cast<char*>(args[0]));
    } else {
      results.push_back(place(none.bytes()));
    }
  }
  for (size_t k = trial.expected.size(); k < trial.node->outputs.size(); ++k) args.push_back(0);
  auto evaluate = [&](const std::string& text) -> Result<int64_t> {
    CARNOT_ASSIGN(const Dim d, Dim::parse(text));
    return d.eval(symbols);
  };
  if (const auto* bytes = find_attr<std::string>(c.params, "workspace")) {
    CARNOT_ASSIGN(const int64_t n, evaluate(*bytes));
    place(static_cast<size_t>(n));
  }
  // These cases have no index outside: a complaint is a mistake.
  int64_t complaint = 0;
  if (find_attr<int64_t>(c.params, "complains")) args.push_back(reinterpret_cast<uint64_t>(&complaint));
  for (const std::string& text : *find_attr<std::vector<std::string>>(c.params, "scalars")) {
    CARNOT_ASSIGN(const int64_t value, evaluate(text));
    args.push_back(static_cast<uint64_t>(value));
  }
  const size_t count = args.size();
  if (count > 255) return invalid("{} arguments: a launch takes 255", count);
  args.resize(255, 0);
  int64_t grid[3];
  const auto& texts = *find_attr<std::vector<std::string>>(c.params, "grid");
  for (size_t i = 0; i < 3; ++i) {
    CARNOT_ASSIGN(grid[i], evaluate(texts[i]));
    if (grid[i] > (i == 0 ? 0x7fffffff : 65535)) return invalid("grid {}: {}", i, grid[i]);
    if (grid[i] < 0) return invalid("grid {}: {}", i, grid[i]);
  }
  const auto& threads = *find_attr<std::vector<int64_t>>(c.params, "block");
  if (grid[0] * grid[1] * grid[2] > 0) {
    bool fibers = false;
    for (const char* word : {"__syncthreads(", "__syncwarp(", "__shfl_", "__ballot_sync("}) fibers = fibers || c.code.find(word) != std::string::npos;
    auto launch = reinterpret_cast<bool (*)(void*, const int64_t*, const int64_t*, const uint64_t*, size_t, bool)>(library.launch);
    if (!launch(function, grid, threads.data(), args.data(), count, fibers)) return invalid("threads wait for each other for ever");
  }
  if (complaint != 0) return invalid("a complaint about index {}", complaint);
  std::vector<Constant> out;
  for (size_t k = 0; k < results.size(); ++k) out.push_back(Constant::copy_of(shapes[k].dtype, shapes[k].dims, results[k]));
  return out;
}

}  // namespace carnot::test
