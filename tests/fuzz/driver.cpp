// SPDX-License-Identifier: Apache-2.0
// A small coverage-guided fuzzer: GCC instruments code for it (-fsanitize-coverage=trace-pc) but brings no driver as clang does.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>

#include "fuzz.hpp"

namespace {

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

constexpr size_t kMapSize = 1 << 16;
uint8_t seen_now[kMapSize];   // edges of the current input
uint8_t seen_ever[kMapSize];  // edges of all inputs so far
uintptr_t previous_pc = 0;

// An input above this is cut: long ones only make each try slower.
constexpr size_t kMaxSize = 1 << 16;
constexpr int kMutationsPerSeed = 300;
constexpr auto kSlow = std::chrono::seconds(5);

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(begin, begin + text.size());
}

std::vector<Bytes> read_seeds(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());  // the order of a folder differs between machines
  std::vector<Bytes> seeds;
  for (const auto& file : files) seeds.push_back(read(file));
  return seeds;
}

// Values at which parsers go wrong: sign changes, sizes of types, sizes no memory holds.
constexpr uint64_t kInteresting[] = {0, 1, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7fffffff, 0x80000000,
                                     0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};

void mutate_once(Bytes& bytes, const std::vector<Bytes>& corpus, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); };
  const size_t at = below(bytes.size());
  const size_t length = std::min(bytes.size() - at, size_t{1} + below(random() % 8 == 0 ? 512 : 16));
  switch (random() % 8) {
    case 0:
      if (!bytes.empty()) bytes[at] ^= static_cast<std::byte>(1 << below(8));
      break;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<std::byte>(random());
      break;
    case 2:
      bytes.erase(bytes.begin() + at, bytes.begin() + at + length);
      break;
    case 3: {  // repeat a piece
      const Bytes piece(bytes.begin() + at, bytes.begin() + at + length);
      bytes.insert(bytes.begin() + at, piece.begin(), piece.end());
      break;
    }
    case 4: {  // a number over whatever was there
      const uint64_t value = kInteresting[below(std::size(kInteresting))];
      const size_t size = std::min(size_t{1} << below(4), bytes.size() - at);
      if (size > 0) std::memcpy(bytes.data() + at, &value, size);
      break;
    }
    case 5:
      bytes.resize(at);
      break;
    case 6: {  // a piece of another input
      const Bytes& other = corpus[below(corpus.size())];
      const size_t from = below(other.size());
      const size_t count = std::min(other.size() - from, size_t{1} + below(64));
      bytes.insert(bytes.begin() + at, other.begin() + from, other.begin() + from + count);
      break;
    }
    default: {  // move a piece elsewhere
      const Bytes piece(bytes.begin() + at, bytes.begin() + at + length);
      bytes.erase(bytes.begin() + at, bytes.begin() + at + length);
      bytes.insert(bytes.begin() + below(bytes.size() + 1), piece.begin(), piece.end());
    }
  }
}

class Fuzzer {
 public:
  Fuzzer(std::string name, std::vector<Bytes> corpus) : name_(std::move(name)), corpus_(std::move(corpus)) {}

  // Feeds one input; true if it reached code that no input before it did.
  bool feed(const Bytes& bytes) {
    {
      std::ofstream file(input_file(), std::ios::binary | std::ios::trunc);
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    std::memset(seen_now, 0, sizeof seen_now);
    previous_pc = 0;
    const auto start = Clock::now();
    carnot::fuzz::try_bytes(bytes);
    if (Clock::now() - start > kSlow) {
      std::fprintf(stderr, "%s: an input took more than 5 s; it is in %s\n", name_.c_str(), input_file().c_str());
      std::exit(1);
    }
    ++tries_;
    bool fresh = false;
    for (size_t i = 0; i < kMapSize; ++i) {
      fresh |= seen_now[i] > seen_ever[i];
      seen_ever[i] |= seen_now[i];
    }
    return fresh;
  }

  Bytes mutated(const Bytes& seed) {
    Bytes bytes = seed;
    for (uint64_t i = 0, count = 1 + random_() % 4; i < count; ++i) mutate_once(bytes, corpus_, random_);
    if (bytes.size() > kMaxSize) bytes.resize(kMaxSize);
    carnot::fuzz::repair(bytes);
    return bytes;
  }

  void feed_seeds() {
    for (const Bytes& seed : corpus_) feed(seed);
  }

  void mutate_each_seed(int count) {
    for (size_t i = 0; i < corpus_.size(); ++i) {
      for (int k = 0; k < count; ++k) feed(mutated(corpus_[i]));
    }
  }

  void mutate_for(std::chrono::seconds time) {
    for (const auto end = Clock::now() + time; Clock::now() < end;) {
      Bytes bytes = mutated(corpus_[random_() % corpus_.size()]);
      if (feed(bytes)) corpus_.push_back(std::move(bytes));
    }
  }

  void report(size_t seeds) const {
    std::remove(input_file().c_str());
    std::printf("%s: %llu inputs from %zu seeds, %zu kept for reaching new code, nothing found\n", name_.c_str(),
                static_cast<unsigned long long>(tries_), seeds, corpus_.size() - seeds);
  }

 private:
  std::string input_file() const { return name_ + ".input"; }

  std::string name_;
  std::vector<Bytes> corpus_;
  std::mt19937_64 random_{1};  // the same run every time
  unsigned long long tries_ = 0;
};

}  // namespace

// GCC calls this at every edge of instrumented code. Not itself instrumented: it would call itself.
extern "C" __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined"))) void __sanitizer_cov_trace_pc() {
  const auto pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  seen_now[(pc ^ (previous_pc << 1)) % kMapSize] = 1;
  previous_pc = pc;
}

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  long seconds = 0;
  if (paths.size() >= 2 && paths[0] == "--seconds") {
    seconds = std::atol(paths[1].c_str());
    paths.erase(paths.begin(), paths.begin() + 2);
  }
  std::vector<Bytes> seeds = paths.empty() ? std::vector<Bytes>{} : read_seeds(paths);
  if (seeds.empty()) {
    std::fprintf(stderr, "usage: %s [--seconds N] SEEDS...   (at least one file)\n", argv[0]);
    return 2;
  }
  const size_t count = seeds.size();
  Fuzzer fuzzer(std::filesystem::path(argv[0]).filename(), std::move(seeds));
  fuzzer.feed_seeds();
  if (seconds > 0) {
    fuzzer.mutate_for(std::chrono::seconds(seconds));
  } else {
    fuzzer.mutate_each_seed(kMutationsPerSeed);
  }
  fuzzer.report(count);
}
