// SPDX-License-Identifier: Apache-2.0
#include "load/shared_region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace carnot::serve::load {

SharedRegion::~SharedRegion() {
  if (data_) munmap(data_, bytes_);
  if (!key_.empty()) shm_unlink(key_.c_str());
}

MaybeFault SharedRegion::create(const std::string& key, size_t bytes) {
  const int fd = shm_open(key.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fault(Kind::kInternal, "cannot create shared memory '{}': {}", key, std::strerror(errno));
  key_ = key;
  void* at = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(bytes)) == 0)
    at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (at == MAP_FAILED)
    return fault(Kind::kInternal, "cannot map {} bytes of shared memory: {}", bytes, std::strerror(error));
  data_ = static_cast<std::byte*>(at);
  bytes_ = bytes;
  return std::nullopt;
}

}  // namespace carnot::serve::load
