// SPDX-License-Identifier: Apache-2.0
// Answers kept for requests that come again (response_cache { enable: true }): a budget of bytes that all models share;
// what was not asked for the longest goes first.
#pragma once
#include <array>
#include <list>
#include <map>
#include <mutex>

#include "core/signature.hpp"
#include "core/statistics.hpp"
#include "core/target.hpp"

namespace carnot::serve {

class ResponseCache {
 public:
  // SHA-256 of model, outputs and inputs: nobody can make a request that gets another one's answer.
  using Key = std::array<unsigned char, 32>;
  struct Output {
    size_t index = 0;  // in the signature
    std::vector<int64_t> shape;
    std::vector<std::byte> data;
  };
  using Item = std::vector<Output>;

  explicit ResponseCache(size_t budget) : budget_(budget) {}
  size_t budget() const { return budget_; }
  size_t bytes() const;
  std::shared_ptr<const Item> find(const Key& key);
  void put(const Key& key, std::shared_ptr<const Item> item);

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Item> item;
    size_t bytes = 0;
  };
  const size_t budget_;
  mutable std::mutex mutex_;
  size_t bytes_ = 0;
  std::list<Entry> entries_;  // the one last asked for first
  std::map<Key, std::list<Entry>::iterator> by_key_;
};

// A model behind the cache. Requests whose tensors lie in shared memory pass by: a client could change them between
// the look into the cache and the run.
class CachedTarget : public Target {
 public:
  CachedTarget(std::shared_ptr<ResponseCache> cache, std::shared_ptr<const Signature> signature, int64_t version,
               std::shared_ptr<Target> target, std::shared_ptr<Statistics> statistics);
  void submit(std::unique_ptr<Job> job, bool here) override;
  size_t pending() const override { return target_->pending(); }

 private:
  ResponseCache::Key key_of(const Job& job) const;
  MaybeFault answer(Job& job, const ResponseCache::Item& item, Clock::duration lookup) const;

  const std::shared_ptr<ResponseCache> cache_;
  const std::shared_ptr<const Signature> signature_;
  const int64_t version_;
  const uint64_t load_;  // which load of the model: a reload forgets what was kept
  const std::shared_ptr<Target> target_;
  const std::shared_ptr<Statistics> statistics_;
};

}  // namespace carnot::serve
