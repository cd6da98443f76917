// SPDX-License-Identifier: Apache-2.0
#include "runtime/on_device.hpp"

#include <map>

#include "device/backend.hpp"

namespace carnot::runtime {

Result<std::shared_ptr<const OnDevice>> OnDevice::create(const engine::Image& image, const std::string& kind, int ordinal) {
  auto out = std::make_shared<OnDevice>();
  CARNOT_ASSIGN(device::Backend* const backend, device::open_backend(kind));
  CARNOT_ASSIGN(out->device_, backend->open(ordinal));
  CARNOT_RETURN_IF_ERROR(out->make_kernels(image));
  CARNOT_RETURN_IF_ERROR(out->upload(image));
  return std::shared_ptr<const OnDevice>(std::move(out));
}

Status OnDevice::make_kernels(const engine::Image& image) {
  const engine::Program& program = image.program;
  for (const engine::Plan& plan : program.plans) {
    auto& kernels = kernels_.emplace_back(plan.commands.size());
    for (size_t c = 0; c < plan.commands.size(); ++c) {
      const engine::Command& command = plan.commands[c];
      if (engine::runs_on(program, command) != engine::Place::kDevice) continue;
      std::span<const std::byte> code;
      if (const auto* index = find_attr<int64_t>(command.params, "code")) {
        if (*index < 0 || *index >= static_cast<int64_t>(program.code.size()))
          return fail(Code::kDataCorrupt, "command '{}' of {} names code that the engine does not hold", command.kernel, command.where);
        const engine::CodeBlob& blob = program.code[static_cast<size_t>(*index)];
        code = image.code.subspan(blob.offset, blob.size);
      }
      auto kernel = device_->make_kernel(command.kernel, command.params, code);
      if (!kernel) return std::move(kernel.error()).within(fmt::format("command '{}' of {}", command.kernel, command.where));
      kernels[c] = std::move(*kernel);
      CARNOT_RETURN_IF_ERROR(kernels[c]->check_operands(command.inputs.size(), command.outputs.size()));
    }
  }
  return {};
}

Status OnDevice::upload(const engine::Image& image) {
  // Equal constants have one offset in the file, and one here.
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> placed;
  for (const engine::Plan& plan : image.program.plans) {
    auto& offsets = offsets_.emplace_back(plan.buffers.size(), 0);
    for (size_t b = 0; b < plan.buffers.size(); ++b) {
      const engine::Buffer& buffer = plan.buffers[b];
      if (buffer.kind != engine::BufferKind::kConstant || buffer.place != engine::Place::kDevice) continue;
      const uint64_t bytes = static_cast<uint64_t>(size_of(to_dims(buffer.shape))) * dtype_size(buffer.dtype);
      const auto [it, first] = placed.try_emplace({buffer.offset, bytes}, constant_bytes_);
      offsets[b] = it->second;
      if (first) constant_bytes_ += (bytes + 255) / 256 * 256;
    }
  }
  if (constant_bytes_ == 0) return {};
  CARNOT_ASSIGN(constants_, device_->allocate(constant_bytes_, device::Place::kDevice));
  CARNOT_ASSIGN(auto stream, device_->make_stream());
  for (const auto& [from, to] : placed)
    if (from.second > 0) CARNOT_RETURN_IF_ERROR(stream->copy(static_cast<char*>(constants_.get()) + to, image.constants.data() + from.first, from.second));
  return stream->wait();
}

}  // namespace carnot::runtime
