// SPDX-License-Identifier: Apache-2.0
// What was measured before, in a file: for each machine and problem the time of every candidate that was tried. A build that finds all
// of its candidates here measures nothing and gives the same engine again.
//
// The file is text, UTF-8, one record a line:
//
//   carnot timing cache 1
//   machine AMD EPYC (26.2.1) avx512 ... threads 2 | carnot 0.1.0 kernels 5f2c...     the sections; most recently used last
//   problem conv(...) f32[1,3,224,224] f32[64,3,7,7]! -> f32[1,112,112,64] | cold      within a section
//   time 118204 cpu.conv@1 blocking=[3, 0, 0, 0]                                      nanoseconds and candidate, of the problem above
//
// A file that is not such a text, or contradicts itself, is an error that names the line; it is never overwritten. Sections of other
// machines and of other builds of Carnot are kept and not used, until the file is larger than kMaxBytes: then the oldest are dropped.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace carnot::compiler {

class TimingCache {
 public:
  static constexpr size_t kMaxBytes = 16 << 20;      // of a file that is written
  static constexpr size_t kMaxReadBytes = 64 << 20;  // of one that is read
  static constexpr size_t kMaxLine = 64 << 10;
  static constexpr size_t kMaxMachines = 1000;
  static constexpr int64_t kMaxNanoseconds = int64_t{3600} * 1'000'000'000;

  // By candidate (tactics::Option::str).
  using Times = std::map<std::string, int64_t, std::less<>>;

  // `machine` selects the section that find() and put() speak of.
  explicit TimingCache(std::string machine);
  static Result<TimingCache> parse(std::string_view text, std::string machine);
  // A file that does not exist is an empty cache.
  static Result<TimingCache> load(const std::string& path, std::string machine);

  // Null: the problem has not been timed on this machine.
  const Times* find(std::string_view problem) const;
  // Replaces what is known of the problem.
  void put(const std::string& problem, Times times);
  // Problems of this machine, and sections of others.
  size_t problems() const;
  size_t other_machines() const { return sections_.size() - 1; }

  std::string str() const;
  // Reads the file once more, adds what others have put there meanwhile (of equal problems this cache's times stay) and replaces it in one
  // step. Whoever reads it at any time sees a whole file.
  Status save(const std::string& path);

 private:
  struct Section {
    std::string machine;
    std::vector<std::pair<std::string, Times>> problems;  // oldest first
    std::map<std::string, size_t, std::less<>> index;
    size_t bytes() const;
    void put(const std::string& problem, Times times, bool replace);
  };
  Section& section(const std::string& machine);
  Section& own() { return sections_.back(); }
  const Section& own() const { return sections_.back(); }

  std::vector<Section> sections_;  // the machine's own last
};

}  // namespace carnot::compiler
