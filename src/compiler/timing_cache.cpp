// SPDX-License-Identifier: Apache-2.0
#include "compiler/timing_cache.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "base/mapped_file.hpp"
#include "engine/writer.hpp"

namespace carnot::compiler {
namespace {

constexpr std::string_view kHead = "carnot timing cache ", kVersion = "1";
constexpr std::string_view kMachine = "machine ", kProblem = "problem ", kTime = "time ";

// One line of the file: what people's names put there must not make two of it.
std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  return text;
}

bool is_one_line(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 127; });
}

// Of a problem in the file.
size_t record_bytes(const std::string& problem, const TimingCache::Times& times) {
  size_t n = kProblem.size() + problem.size() + 1;
  for (const auto& [candidate, ns] : times) n += kTime.size() + std::to_string(ns).size() + 1 + candidate.size() + 1;
  return n;
}

}  // namespace

TimingCache::TimingCache(std::string machine) { sections_.push_back({one_line(std::move(machine)), {}, {}}); }

TimingCache::Section& TimingCache::section(const std::string& machine) {
  for (Section& s : sections_)
    if (s.machine == machine) return s;
  // Before the machine's own, behind the others.
  return *sections_.insert(sections_.end() - 1, Section{machine, {}, {}});
}

void TimingCache::Section::put(const std::string& problem, Times times, bool replace) {
  auto [place, first] = index.try_emplace(problem, problems.size());
  if (first)
    problems.emplace_back(problem, std::move(times));
  else if (replace)
    problems[place->second].second = std::move(times);
}

Result<TimingCache> TimingCache::parse(std::string_view text, std::string machine) {
  TimingCache cache(std::move(machine));
  if (text.size() > kMaxReadBytes) return fail(Code::kDataCorrupt, "a timing cache of {} bytes; the most are {}", text.size(), kMaxReadBytes);
  if (!text.starts_with(kHead)) return fail(Code::kDataCorrupt, "not a timing cache: its first line is not '{}{}'", kHead, kVersion);
  size_t line_number = 0;
  Section* section = nullptr;
  std::string problem;
  Times times;
  auto corrupt = [&](std::string_view what) { return fail(Code::kDataCorrupt, "line {}: {}; delete the file to time again", line_number, what); };
  // A problem stands with its times, so both are stored when the next one begins.
  auto finish = [&] {
    if (!problem.empty()) section->put(problem, std::move(times), true);
    problem.clear();
    times.clear();
  };
  while (!text.empty()) {
    ++line_number;
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return corrupt("the file ends within a line");
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.size() > kMaxLine) return corrupt("too long");
    if (!is_one_line(line)) return corrupt("an empty line or control characters");
    if (line_number == 1) {
      if (line.substr(kHead.size()) != kVersion) return corrupt(fmt::format("format {}; this build of Carnot reads format {}", line.substr(kHead.size(), 16), kVersion));
    } else if (line.starts_with(kMachine)) {
      finish();
      if (cache.sections_.size() > kMaxMachines) return corrupt("too many machines");
      section = &cache.section(std::string(line.substr(kMachine.size())));
    } else if (line.starts_with(kProblem)) {
      if (!section) return corrupt("a problem without a machine");
      finish();
      problem = line.substr(kProblem.size());
      if (problem.empty()) return corrupt("a problem without a text");
    } else if (line.starts_with(kTime)) {
      if (problem.empty()) return corrupt("a time without a problem");
      line.remove_prefix(kTime.size());
      int64_t ns = 0;
      const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), ns);
      const auto used = static_cast<size_t>(stop - line.data());
      if (error != std::errc() || ns <= 0 || ns > kMaxNanoseconds || used + 1 >= line.size() || line[used] != ' ') return corrupt("no time and candidate");
      if (!times.emplace(line.substr(used + 1), ns).second) return corrupt("a candidate has two times");
    } else {
      return corrupt("neither a machine, a problem nor a time");
    }
  }
  finish();
  return cache;
}

Result<TimingCache> TimingCache::load(const std::string& path, std::string machine) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (error) return fail(Code::kIo, "timing cache '{}': {}", path, error.message());
    return TimingCache(std::move(machine));
  }
  CARNOT_ASSIGN(const auto file, MappedFile::open(path));
  auto cache = parse({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, std::move(machine));
  if (!cache) return std::move(cache.error()).within(fmt::format("timing cache '{}'", path));
  return cache;
}

const TimingCache::Times* TimingCache::find(std::string_view problem) const {
  const auto place = own().index.find(one_line(std::string(problem)));
  return place == own().index.end() ? nullptr : &own().problems[place->second].second;
}

void TimingCache::put(const std::string& problem, Times times) {
  Times clean;
  for (auto& [candidate, ns] : times) clean.emplace(one_line(candidate), std::clamp<int64_t>(ns, 1, kMaxNanoseconds));
  own().put(one_line(problem), std::move(clean), true);
}

size_t TimingCache::problems() const { return own().problems.size(); }

size_t TimingCache::Section::bytes() const {
  size_t n = kMachine.size() + machine.size() + 1;
  for (const auto& [problem, times] : problems) n += record_bytes(problem, times);
  return n;
}

std::string TimingCache::str() const {
  std::string text = fmt::format("{}{}\n", kHead, kVersion);
  for (const Section& s : sections_) {
    if (s.problems.empty()) continue;
    text += fmt::format("{}{}\n", kMachine, s.machine);
    for (const auto& [problem, times] : s.problems) {
      text += fmt::format("{}{}\n", kProblem, problem);
      for (const auto& [candidate, ns] : times) text += fmt::format("{}{} {}\n", kTime, ns, candidate);
    }
  }
  return text;
}

Status TimingCache::save(const std::string& path) {
  CARNOT_ASSIGN(TimingCache now, load(path, own().machine));
  for (const Section& theirs : now.sections_) {
    Section& ours = section(theirs.machine);
    for (const auto& [problem, times] : theirs.problems) ours.put(problem, times, false);
  }
  size_t bytes = kHead.size() + kVersion.size() + 1;
  for (const Section& s : sections_) bytes += s.bytes();
  // Other machines first, then the oldest problems of this one.
  while (bytes > kMaxBytes && sections_.size() > 1) {
    bytes -= sections_.front().bytes();
    sections_.erase(sections_.begin());
  }
  if (bytes > kMaxBytes) {
    Section small{own().machine, {}, {}};
    size_t drop = 0;
    for (; drop < own().problems.size() && bytes > kMaxBytes; ++drop) bytes -= record_bytes(own().problems[drop].first, own().problems[drop].second);
    for (size_t i = drop; i < own().problems.size(); ++i) small.put(own().problems[i].first, std::move(own().problems[i].second), true);
    own() = std::move(small);
  }
  const std::string text = str();
  return engine::write_file(path, std::as_bytes(std::span(text)));
}

}  // namespace carnot::compiler
