// SPDX-License-Identifier: Apache-2.0
#include "core/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace carnot::serve {

class SharedMemory::Mapping {
 public:
  Mapping(Region region, int fd, void* base, size_t mapped, std::byte* data)
      : region(std::move(region)), data(data), fd_(fd), base_(base), mapped_(mapped) {}
  ~Mapping() {
    munmap(base_, mapped_);
    close(fd_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  // The owner may have shrunk the object since: touching pages behind its end would end this process.
  bool still_whole() const {
    struct stat s;
    return fstat(fd_, &s) == 0 && static_cast<uint64_t>(s.st_size) >= region.offset + region.bytes;
  }
  const Region region;
  std::byte* const data;

 private:
  const int fd_;
  void* const base_;
  const size_t mapped_;
};

MaybeFault SharedMemory::check_allowed() const {
  if (allowed_) return std::nullopt;
  return fault(Kind::kForbidden,
               "shared memory is off: start the server with --allow-client-shm if its clients may be trusted with this "
               "machine's memory");
}

MaybeFault SharedMemory::add(const Region& region) {
  if (auto refused = check_allowed()) return refused;
  if (region.name.empty()) return invalid("a shared memory region needs a name");
  if (!region.key.starts_with(prefix_))
    return fault(Kind::kForbidden, "the key of a region must begin with '{}'", prefix_);
  std::lock_guard lock(mutex_);
  if (regions_.contains(region.name))
    return fault(Kind::kExists, "shared memory region '{}' already in manager", region.name);
  uint64_t end = 0;
  if (region.bytes == 0 || __builtin_add_overflow(region.offset, region.bytes, &end) || end > uint64_t{1} << 46)
    return invalid("shared memory region '{}' has no possible offset and byte_size", region.name);
  const int fd = shm_open(region.key.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return invalid("Unable to open shared memory region: '{}'", region.name);
  struct stat s;
  if (fstat(fd, &s) != 0 || static_cast<uint64_t>(s.st_size) < end) {
    close(fd);
    return invalid(
        "failed to register shared memory region '{}': invalid args, offset + byte_size is {}, the region ends before",
        region.name, end);
  }
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE)), begin = region.offset / page * page;
  void* base = mmap(nullptr, end - begin, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(begin));
  if (base == MAP_FAILED) {
    close(fd);
    return invalid("Unable to map shared memory region: '{}'", region.name);
  }
  regions_[region.name] = std::make_shared<const Mapping>(region, fd, base, end - begin,
                                                          static_cast<std::byte*>(base) + (region.offset - begin));
  return std::nullopt;
}

MaybeFault SharedMemory::remove(const std::string& name) {
  if (auto refused = check_allowed()) return refused;
  std::lock_guard lock(mutex_);
  if (name.empty())
    regions_.clear();
  else
    regions_.erase(name);
  return std::nullopt;
}

Or<std::vector<SharedMemory::Region>> SharedMemory::status(const std::string& name) const {
  std::lock_guard lock(mutex_);
  std::vector<Region> list;
  for (const auto& [key, mapping] : regions_)
    if (name.empty() || key == name) list.push_back(mapping->region);
  if (!name.empty() && list.empty())
    return fault(Kind::kNotFound, "Unable to find system shared memory region: '{}'", name);
  return list;
}

Or<SharedMemory::Part> SharedMemory::find(const std::string& name, uint64_t offset, uint64_t bytes) const {
  std::shared_ptr<const Mapping> mapping;
  {
    std::lock_guard lock(mutex_);
    const auto it = regions_.find(name);
    if (it == regions_.end()) return fault(Kind::kNotFound, "Unable to find shared memory region: '{}'", name);
    mapping = it->second;
  }
  uint64_t end = 0;
  if (__builtin_add_overflow(offset, bytes, &end) || end > mapping->region.bytes)
    return invalid("Invalid offset + byte size for shared memory region: '{}'", name);
  if (!mapping->still_whole())
    return invalid("shared memory region '{}' has been made smaller: register it again", name);
  return Part{mapping->data + offset, mapping};
}

}  // namespace carnot::serve
