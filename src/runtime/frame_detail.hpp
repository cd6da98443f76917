// SPDX-License-Identifier: Apache-2.0
// What a Frame keeps for each set of shapes; for frame.cpp and frame_device.cpp alone.
#pragma once
#include "runtime/frame.hpp"

namespace carnot::runtime {

struct Frame::Ready {
  std::vector<TensorView> in, out;
  bool dynamic = false;  // an operand has a size that only the run tells
};

// Commands that the device does without the host: run at first, then recorded, then replayed as one.
struct Frame::Segment {
  size_t first = 0, last = 0;
  bool touches_host = false;
  int runs = 0;
  bool refused = false;  // cannot be recorded
  uint64_t generation = 0;
  std::unique_ptr<device::Recording> recording;
};

struct Frame::Resolved {
  std::vector<int64_t> key;
  Symbols symbols;
  std::vector<Dims> dims;       // by buffer; meaningless where dynamic
  std::vector<bool> dynamic;    // by buffer
  std::vector<uint64_t> offset;  // by buffer, into the arena
  uint64_t arena_bytes = 0, workspace_bytes = 0, device_arena_bytes = 0, device_workspace_bytes = 0;
  std::vector<Ready> commands;
  bool any_dynamic = false;
  std::vector<Segment> segments;
  // By output of the plan: the buffers that move with it when the caller gives the memory; empty where it has to be copied.
  std::vector<std::vector<size_t>> moves;
};

}  // namespace carnot::runtime
