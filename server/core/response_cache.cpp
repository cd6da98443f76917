// SPDX-License-Identifier: Apache-2.0
#include "core/response_cache.hpp"

#include <openssl/evp.h>

#include <algorithm>

#include "core/classification.hpp"

namespace carnot::serve {
namespace {

std::atomic<uint64_t> g_loads{0};

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  void add(const void* data, size_t bytes) { EVP_DigestUpdate(context_, data, bytes); }
  void add(uint64_t number) { add(&number, sizeof number); }
  ResponseCache::Key finish() {
    ResponseCache::Key key;
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_, key.data(), &size);
    return key;
  }

 private:
  EVP_MD_CTX* const context_;
};

size_t index_of(const Signature& signature, const std::string& name) {
  size_t i = 0;
  while (signature.outputs()[i].name != name) ++i;
  return i;
}

class Recorder : public ReplySink {
 public:
  Recorder(std::shared_ptr<ResponseCache> cache, std::shared_ptr<const Signature> signature,
           const ResponseCache::Key& key)
      : cache_(std::move(cache)), signature_(std::move(signature)), key_(key) {}
  void take(const InferReply& reply) override {
    size_t bytes = 0;
    for (const OutputTensor& out : reply.outputs) bytes += out.bytes;
    if (bytes > cache_->budget()) return;
    auto item = std::make_shared<ResponseCache::Item>();
    for (const OutputTensor& out : reply.outputs) {
      const std::byte* data = out.data ? out.data : out.request->target;
      item->push_back({index_of(*signature_, *out.name), out.shape, {data, data + out.bytes}});
    }
    cache_->put(key_, std::move(item));
  }

 private:
  const std::shared_ptr<ResponseCache> cache_;
  const std::shared_ptr<const Signature> signature_;
  const ResponseCache::Key key_;
};

}  // namespace

size_t ResponseCache::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

std::shared_ptr<const ResponseCache::Item> ResponseCache::find(const Key& key) {
  std::lock_guard lock(mutex_);
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it->second);
  return it->second->item;
}

void ResponseCache::put(const Key& key, std::shared_ptr<const Item> item) {
  size_t bytes = sizeof(Entry) + 128;  // and its nodes
  for (const Output& out : *item) bytes += sizeof(Output) + out.shape.size() * sizeof(int64_t) + out.data.size();
  std::list<Entry> dropped;  // freed behind the lock
  std::lock_guard lock(mutex_);
  if (bytes > budget_ || by_key_.contains(key)) return;  // two equal requests may have run at the same time
  entries_.push_front({key, std::move(item), bytes});
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > budget_) {
    bytes_ -= entries_.back().bytes;
    by_key_.erase(entries_.back().key);
    dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
  }
}

CachedTarget::CachedTarget(std::shared_ptr<ResponseCache> cache, std::shared_ptr<const Signature> signature,
                           int64_t version, std::shared_ptr<Target> target, std::shared_ptr<Statistics> statistics)
    : cache_(std::move(cache)),
      signature_(std::move(signature)),
      version_(version),
      load_(++g_loads),
      target_(std::move(target)),
      statistics_(std::move(statistics)) {}

ResponseCache::Key CachedTarget::key_of(const Job& job) const {
  Digest digest;
  digest.add(load_);
  std::vector<uint64_t> outputs;
  for (const OutputRequest& out : job.request.outputs) outputs.push_back(index_of(*signature_, out.name));
  std::sort(outputs.begin(), outputs.end());
  digest.add(outputs.size());
  for (uint64_t i : outputs) digest.add(i);
  for (int at : job.order) {
    const InputTensor& in = job.request.inputs[static_cast<size_t>(at)];
    digest.add(in.shape.size());
    for (int64_t d : in.shape) digest.add(static_cast<uint64_t>(d));
    digest.add(in.bytes);
    digest.add(in.data, in.bytes);
  }
  return digest.finish();
}

MaybeFault CachedTarget::answer(Job& job, const ResponseCache::Item& item, Clock::duration lookup) const {
  InferReply reply{.model = &signature_->name(), .version = version_};
  Labelled labelled;
  const auto& wanted = job.request.outputs;
  for (size_t w = 0; w < (wanted.empty() ? item.size() : wanted.size()); ++w) {
    const OutputRequest* request = wanted.empty() ? nullptr : &wanted[w];
    const size_t index = request ? index_of(*signature_, request->name) : item[w].index;
    const auto kept = std::find_if(item.begin(), item.end(), [&](const auto& o) { return o.index == index; });
    const IoSpec& spec = signature_->outputs()[index];
    OutputTensor out{.name = &spec.name,
                     .type = spec.type,
                     .shape = kept->shape,
                     .data = kept->data.data(),
                     .bytes = kept->data.size(),
                     .request = request};
    if (request && request->target) {  // of an ensemble: clients' shared memory passes the cache by
      if (out.bytes > request->target_bytes) return fault(Kind::kInternal, "output '{}' has no room", spec.name);
      std::copy(kept->data.begin(), kept->data.end(), request->target);
      out.data = nullptr;
    }
    reply.outputs.push_back(std::move(out));
  }
  if (auto refused = classify(signature_->outputs(), signature_->max_batch() > 0, &reply, &labelled)) return refused;
  statistics_->cache_hit(job.received, lookup);
  job.done(reply);
  return std::nullopt;
}

void CachedTarget::submit(std::unique_ptr<Job> job, bool here) {
  // What does not fit is refused, and counted, by the model itself.
  if (job->request.shared_memory || signature_->check(*job)) return target_->submit(std::move(job), here);
  const auto begin = Clock::now();
  const ResponseCache::Key key = key_of(*job);
  const auto item = cache_->find(key);
  const auto lookup = Clock::now() - begin;
  if (!item) {
    statistics_->cache_miss(lookup);
    job->sink = std::make_unique<Recorder>(cache_, signature_, key);
    return target_->submit(std::move(job), here);
  }
  if (auto refused = answer(*job, *item, lookup)) {
    statistics_->failed(Failure::kOther, job->received);
    refused->text = id_prefix(job->request.id) + refused->text;
    job->done({.fault = &*refused});
  }
}

}  // namespace carnot::serve
