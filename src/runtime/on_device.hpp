// SPDX-License-Identifier: Apache-2.0
// What an engine has on one device: kernels made of its commands, its code, and the constants that these read. Made once, shared by all
// sessions of the engine on that device.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "device/device.hpp"
#include "engine/reader.hpp"

namespace carnot::runtime {

class OnDevice {
 public:
  // Opens the backend, makes the kernels and uploads the constants. Errors name the command, or what is missing.
  static Result<std::shared_ptr<const OnDevice>> create(const engine::Image& image, const std::string& kind, int ordinal);

  device::Device& device() const { return *device_; }
  // Null where the command is none of the device's.
  const device::Kernel* kernel(size_t plan, size_t command) const { return kernels_[plan][command].get(); }
  // A constant buffer that lies on the device.
  void* constant(size_t plan, size_t buffer) const { return static_cast<char*>(constants_.get()) + offsets_[plan][buffer]; }
  size_t constant_bytes() const { return constant_bytes_; }

 private:
  Status upload(const engine::Image& image);
  Status make_kernels(const engine::Image& image);

  std::shared_ptr<device::Device> device_;
  device::Memory constants_;
  size_t constant_bytes_ = 0;
  std::vector<std::vector<uint64_t>> offsets_;
  std::vector<std::vector<std::unique_ptr<device::Kernel>>> kernels_;
};

}  // namespace carnot::runtime
