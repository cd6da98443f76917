// SPDX-License-Identifier: Apache-2.0
#include "runtime/frame.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>

#include "runtime/frame_detail.hpp"
#include "runtime/placement.hpp"

namespace carnot::runtime {

namespace {
constexpr size_t kMaxCachedShapes = 16;
// What a kernel's blocks take of a thread's cache, roughly: by so much workspaces differ between shapes of one range.
constexpr uint64_t kBlockScratch = 64 << 10;
}

Frame::Frame(Context& context, size_t plan)
    : context_(context), index_(plan), plan_(context.engine->plans()[plan]), views_(plan_.plan->buffers.size()), owned_(views_.size()), timings_(plan_.commands.size()) {}

Frame::~Frame() {
  (void)context_.wait();  // nothing may still use the memory that goes
  for (const Block* b : {&arena_, &workspace_, &device_arena_, &device_workspace_, &staging_}) context_.memory_used -= b->capacity;
  for (const Block& b : owned_) context_.memory_used -= b.capacity;
}

const TensorView& Frame::output(size_t i) const { return views_[static_cast<size_t>(plan_.plan->outputs[i])]; }

Status Frame::grow(Block& block, size_t wanted, Where where) {
  if (wanted <= block.capacity && (block.get() || (wanted == 0 && where != Where::kHost))) return {};
  const uint64_t total = context_.memory_used - block.capacity + wanted;
  if (context_.memory_limit && total > context_.memory_limit)
    return fail(Code::kOutOfMemory, "the run needs {} bytes of working memory, the limit is {}", total, context_.memory_limit);
  CARNOT_RETURN_IF_ERROR(context_.wait());
  ++generation_;
  context_.memory_used -= block.capacity;
  block = {};
  if (where == Where::kHost) {
    block.host = aligned_allocate(wanted);
    if (!block.host) return fail(Code::kOutOfMemory, "no memory for {} bytes of working memory", wanted);
  } else {
    CARNOT_ASSIGN(block.other, context_.on_device->device().allocate(wanted, where == Where::kDevice ? device::Place::kDevice : device::Place::kPinned));
  }
  block.capacity = wanted;
  context_.memory_used += wanted;
  return {};
}

const device::Kernel* Frame::kernel_of(size_t command) const {
  const LoadedCommand& c = plan_.commands[command];
  if (!c.on_device) return c.kernel.get();
  return context_.on_device ? context_.on_device->kernel(index_, command) : nullptr;
}

Status Frame::check_ranges(std::span<const TensorView> inputs) const {
  const engine::Program& program = context_.engine->program();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const engine::InputRange* const range = program.range_of(i);
    if (!range) continue;
    const Shape& shape = plan_.plan->buffers[static_cast<size_t>(plan_.plan->inputs[i])].shape;
    for (size_t a = 0; a < shape.size(); ++a) {
      const int64_t got = inputs[i].dims[a];
      if (range->max[a] < 0 || (got >= range->min[a] && got <= range->max[a])) continue;
      engine::InputRange wider = *range;
      wider.min[a] = std::min(wider.min[a], got);
      wider.max[a] = std::max(wider.max[a], got);
      const std::string dim = shape[a].as_symbol() ? fmt::format("{} ('{}')", a, shape[a].str()) : std::to_string(a);
      return invalid("input '{}' is {} in dimension {}, the engine was built for {} to {}; build it again with a wider range{}", program.input_names[i], got, dim,
                     range->min[a], range->max[a], wider.bounded() ? fmt::format(", --shape {}:{}", program.input_names[i], to_string(wider)) : "");
    }
  }
  return {};
}

Status Frame::bind_inputs(std::span<const TensorView> inputs, const Symbols* outer, Symbols& symbols) const {
  if (outer) symbols = *outer;
  const engine::Plan& plan = *plan_.plan;
  auto name = [&](size_t i) {
    const auto& names = context_.engine->program().input_names;
    return &plan == &context_.engine->program().plans[0] ? names[i] : fmt::format("{} of a body", i);
  };
  // A body's own symbols are bound anew by each call, so what the outer frame or the last iteration said does not hold.
  std::map<std::string, size_t> binder;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const engine::Buffer& buffer = plan.buffers[static_cast<size_t>(plan.inputs[i])];
    if (inputs[i].dtype != buffer.dtype)
      return invalid("input '{}' takes {}, got {}", name(i), dtype_name(buffer.dtype), dtype_name(inputs[i].dtype));
    if (inputs[i].rank() != buffer.shape.size())
      return invalid("input '{}' takes shape {} (rank {}), got {}", name(i), to_string(buffer.shape), buffer.shape.size(), to_string(inputs[i].dims));
    CARNOT_RETURN_IF_ERROR(checked_size(inputs[i].dims));
    for (size_t a = 0; a < buffer.shape.size(); ++a) {
      const Dim& want = buffer.shape[a];
      const int64_t got = inputs[i].dims[a];
      if (want.is_constant() && want.value() != got)
        return invalid("input '{}' takes shape {}, got {}: dimension {} must be {}", name(i), to_string(buffer.shape), to_string(inputs[i].dims), a, want.value());
      if (auto symbol = want.as_symbol()) {
        auto [it, first] = binder.try_emplace(*symbol, i);
        if (!first && symbols[*symbol] != got)
          return invalid("inputs '{}' and '{}' disagree on dimension '{}': {} and {}", name(it->second), name(i), *symbol, symbols[*symbol], got);
        symbols[*symbol] = got;
      }
    }
  }
  return main() ? check_ranges(inputs) : Status();
}

Result<Frame::Resolved*> Frame::resolve(std::span<const TensorView> inputs, const Symbols* outer) {
  std::vector<int64_t> key;
  for (const TensorView& v : inputs) key.insert(key.end(), v.dims.begin(), v.dims.end());
  if (outer)
    for (const std::string& s : plan_.symbols)
      if (auto it = outer->find(s); it != outer->end()) key.push_back(it->second);
  if (current_ && current_->key == key) {
    // Same dims as last time: only dtypes can be wrong.
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].dtype != plan_.plan->buffers[static_cast<size_t>(plan_.plan->inputs[i])].dtype) {
        Symbols ignored;
        CARNOT_RETURN_IF_ERROR(bind_inputs(inputs, outer, ignored));
      }
    return current_;
  }
  auto resolved = std::make_unique<Resolved>();
  CARNOT_RETURN_IF_ERROR(bind_inputs(inputs, outer, resolved->symbols));
  current_ = nullptr;
  if (auto it = cache_.find(key); it != cache_.end()) return it->second.get();

  const engine::Plan& plan = *plan_.plan;
  const size_t n = plan.buffers.size();
  resolved->key = key;
  resolved->dims.resize(n);
  resolved->dynamic.assign(n, false);
  resolved->offset.assign(n, 0);
  for (size_t i = 0; i < inputs.size(); ++i) resolved->dims[static_cast<size_t>(plan.inputs[i])] = inputs[i].dims;
  for (size_t b = 0; b < n; ++b) {
    if (plan.buffers[b].kind == engine::BufferKind::kInput) continue;
    for (const Dim& d : plan.buffers[b].shape) {
      auto value = d.eval(resolved->symbols);
      if (!value) {
        resolved->dynamic[b] = true;
        resolved->any_dynamic = true;
        break;
      }
      resolved->dims[b].push_back(*value);
    }
    if (resolved->dynamic[b]) continue;
    auto size = checked_size(resolved->dims[b]);
    if (!size) return std::move(size.error()).within("for these input shapes");
  }
  CARNOT_RETURN_IF_ERROR(place_buffers(*resolved));
  CARNOT_RETURN_IF_ERROR(prepare_commands(*resolved));
  if (cache_.size() >= kMaxCachedShapes) cache_.clear();
  return (cache_[key] = std::move(resolved)).get();
}

// Bytes from the first to behind the last element; none if they overflow.
std::optional<uint64_t> Frame::extent(const engine::Buffer& buffer, const Dims& dims) {
  auto elements = static_cast<uint64_t>(size_of(dims));
  if (buffer.pitch != 0 && elements != 0) {
    const auto columns = static_cast<uint64_t>(dims.back());
    if (__builtin_mul_overflow(elements / columns - 1, static_cast<uint64_t>(buffer.pitch), &elements) || __builtin_add_overflow(elements, columns, &elements)) return std::nullopt;
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements, dtype_size(buffer.dtype), &bytes)) return std::nullopt;
  return bytes;
}

// Parts of a concatenation or of a split may turn out not to fit when the shapes are known: the user's shapes are at fault then, and the
// command tells which node it is. Else the engine is.
Error Frame::misfit(const Resolved& resolved, size_t buffer) const {
  const engine::Plan& plan = *plan_.plan;
  for (const engine::Command& c : plan.commands) {
    const bool joins = c.kernel == "cpu.concat", splits = c.kernel == "cpu.split";
    const std::vector<int32_t>& parts = joins ? c.inputs : c.outputs;
    if (!(joins || splits) || std::find(parts.begin(), parts.end(), static_cast<int32_t>(buffer)) == parts.end()) continue;
    const std::vector<int32_t>& whole = joins ? c.outputs : c.inputs;
    return invalid("a part of shape {} does not fit into {}", to_string(resolved.dims[buffer]), to_string(resolved.dims[static_cast<size_t>(whole[0])]))
        .within(fmt::format("node {}", c.where));
  }
  return fail(Code::kDataCorrupt, "a buffer does not fit inside the one that holds it");
}

Status Frame::place_buffers(Resolved& resolved) {
  const engine::Plan& plan = *plan_.plan;
  for (const engine::Place memory : {engine::Place::kHost, engine::Place::kDevice}) {
    std::vector<Lifetime> lives;
    std::vector<size_t> owners;
    for (size_t b = 0; b < plan.buffers.size(); ++b) {
      if (plan.buffers[b].place != memory || plan.buffers[b].kind != engine::BufferKind::kTemp || plan.buffers[b].alias >= 0 || resolved.dynamic[b] || plan_.first[b] < 0) continue;
      uint64_t bytes = 0;
      if (__builtin_mul_overflow(static_cast<uint64_t>(size_of(resolved.dims[b])), dtype_size(plan.buffers[b].dtype), &bytes) || bytes > (uint64_t{1} << 46))
        return fail(Code::kOutOfMemory, "a tensor of shape {} does not fit in memory", to_string(resolved.dims[b]));
      lives.push_back({bytes, plan_.first[b], plan_.last[b]});
      owners.push_back(b);
    }
    uint64_t& total = memory == engine::Place::kHost ? resolved.arena_bytes : resolved.device_arena_bytes;
    total = place(lives);
    const uint64_t reserved = memory == engine::Place::kHost ? reserved_.arena_bytes : reserved_.device_arena_bytes;
    // Greedy placement may take more for smaller buffers; those of the reservation fit where the larger ones do.
    const bool as_reserved = total > reserved && !reserved_.bytes.empty() &&
                             std::all_of(owners.begin(), owners.end(), [&, i = size_t{0}](size_t b) mutable { return lives[i++].bytes <= reserved_.bytes[b]; });
    if (as_reserved) total = reserved;
    for (size_t i = 0; i < owners.size(); ++i) resolved.offset[owners[i]] = as_reserved ? reserved_.offset[owners[i]] : lives[i].offset;
  }
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const int32_t alias = plan.buffers[b].alias;
    if (alias < 0) continue;
    const auto outer = static_cast<size_t>(alias);
    if (resolved.dynamic[b] || resolved.dynamic[outer]) return fail(Code::kDataCorrupt, "a buffer of run-time size lies inside another");
    const auto inner_bytes = extent(plan.buffers[b], resolved.dims[b]), outer_bytes = extent(plan.buffers[outer], resolved.dims[outer]);
    if (!inner_bytes || !outer_bytes) return fail(Code::kDataCorrupt, "a buffer inside another has no size");
    if (plan.buffers[b].alias_offset > *outer_bytes || *inner_bytes > *outer_bytes - plan.buffers[b].alias_offset)
      return misfit(resolved, b);
    resolved.offset[b] = resolved.offset[outer] + plan.buffers[b].alias_offset;
  }
  // An output can lie in the caller's memory with all that shares its place, unless that is an input, a constant, larger than the output
  // or the place of another output.
  resolved.moves.resize(plan.outputs.size());
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const auto b = static_cast<size_t>(plan.outputs[i]);
    const auto root = static_cast<size_t>(plan_.root[b]);
    const auto bytes_of = [&](size_t x) { return static_cast<uint64_t>(size_of(resolved.dims[x])) * dtype_size(plan.buffers[x].dtype); };
    if (plan.buffers[root].kind != engine::BufferKind::kTemp || resolved.dynamic[b] || resolved.dynamic[root] || bytes_of(b) != bytes_of(root)) continue;
    if (plan_.copied[root]) continue;  // recorded copies know only this session's memory
    if (std::count_if(plan.outputs.begin(), plan.outputs.end(), [&](int32_t o) { return plan_.root[static_cast<size_t>(o)] == plan_.root[b]; }) > 1) continue;
    for (size_t x = root; x < plan.buffers.size(); ++x)
      if (plan_.root[x] == static_cast<int32_t>(root)) resolved.moves[i].push_back(x);
  }
  return {};
}

Status Frame::prepare_commands(Resolved& resolved) {
  const engine::Plan& plan = *plan_.plan;
  auto view_of = [&](int32_t b) {
    if (b < 0) return TensorView{};
    const auto i = static_cast<size_t>(b);
    return TensorView{plan.buffers[i].dtype, resolved.dynamic[i] ? Dims() : resolved.dims[i], nullptr, plan.buffers[i].pitch};
  };
  resolved.commands.resize(plan.commands.size());
  for (size_t c = 0; c < plan.commands.size(); ++c) {
    Ready& ready = resolved.commands[c];
    for (int32_t b : plan.commands[c].inputs) {
      ready.in.push_back(view_of(b));
      ready.dynamic = ready.dynamic || (b >= 0 && resolved.dynamic[static_cast<size_t>(b)]);
    }
    for (int32_t b : plan.commands[c].outputs) {
      ready.out.push_back(view_of(b));
      ready.dynamic = ready.dynamic || resolved.dynamic[static_cast<size_t>(b)];
    }
    const device::Kernel* const kernel = kernel_of(c);
    if (ready.dynamic || !kernel) continue;
    uint64_t& bytes = plan_.commands[c].on_device ? resolved.device_workspace_bytes : resolved.workspace_bytes;
    bytes = std::max<uint64_t>(bytes, kernel->workspace(ready.in, ready.out, context_.pool->threads()));
  }
  find_segments(resolved);
  return {};
}

Status Frame::reserve() {
  const engine::Program& program = context_.engine->program();
  const engine::Plan& plan = *plan_.plan;
  std::set<std::string> symbols;  // of more than one size
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const Shape& shape = plan.buffers[static_cast<size_t>(plan.inputs[i])].shape;
    const engine::InputRange* const range = program.range_of(i);
    if (range ? !range->bounded() : !is_static(shape)) return {};
    for (size_t a = 0; range && a < shape.size(); ++a)
      if (range->min[a] != range->max[a]) symbols.insert(shape[a].str());
  }
  if (symbols.empty()) return {};
  // Arenas grow with the sizes, but a kernel may divide small and large problems in different ways: so the workspace is asked for at some
  // corners of the range, and a margin is added.
  enum class Corner { kMin, kOpt, kMax };
  const auto at = [&](Corner all, const std::string* but, Corner other) {
    std::vector<TensorView> inputs;
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const engine::Buffer& buffer = plan.buffers[static_cast<size_t>(plan.inputs[i])];
      const engine::InputRange* const range = program.range_of(i);
      Dims dims;
      for (size_t a = 0; a < buffer.shape.size(); ++a) {
        const Corner corner = but && buffer.shape[a].str() == *but ? other : all;
        dims.push_back(!range ? buffer.shape[a].value() : corner == Corner::kMin ? range->min[a] : corner == Corner::kOpt ? range->opt[a] : range->max[a]);
      }
      inputs.push_back({buffer.dtype, std::move(dims), nullptr});
    }
    return resolve(inputs, nullptr);
  };
  Resolved most;
  const auto take = [&](const Resolved& r) {
    most.arena_bytes = std::max(most.arena_bytes, r.arena_bytes);
    most.workspace_bytes = std::max(most.workspace_bytes, r.workspace_bytes);
    most.device_arena_bytes = std::max(most.device_arena_bytes, r.device_arena_bytes);
    most.device_workspace_bytes = std::max(most.device_workspace_bytes, r.device_workspace_bytes);
  };
  // Small shapes that the network does not admit are refused by the run that has them.
  for (const Corner corner : {Corner::kMin, Corner::kOpt})
    if (const auto r = at(corner, nullptr, corner)) take(**r);
  if (symbols.size() > 1)
    for (const std::string& s : symbols)
      for (const auto& [all, other] : {std::pair{Corner::kMin, Corner::kMax}, {Corner::kMax, Corner::kMin}})
        if (const auto r = at(all, &s, other)) take(**r);
  CARNOT_ASSIGN(const Resolved* const largest, at(Corner::kMax, nullptr, Corner::kMax));
  take(*largest);
  if (most.workspace_bytes > 0) most.workspace_bytes += most.workspace_bytes / 8 + kBlockScratch * static_cast<uint64_t>(context_.pool->threads());
  if (most.device_workspace_bytes > 0) most.device_workspace_bytes += most.device_workspace_bytes / 8;
  CARNOT_RETURN_IF_ERROR(grow_all(most));
  reserved_.arena_bytes = most.arena_bytes;
  reserved_.device_arena_bytes = most.device_arena_bytes;
  reserved_.offset = largest->offset;
  for (size_t b = 0; b < plan.buffers.size(); ++b)
    reserved_.bytes.push_back(largest->dynamic[b] || plan.buffers[b].kind != engine::BufferKind::kTemp
                                  ? 0
                                  : static_cast<uint64_t>(size_of(largest->dims[b])) * dtype_size(plan.buffers[b].dtype));
  return {};
}

Status Frame::run(std::span<const TensorView> inputs, std::span<void* const> bound, std::span<const size_t> bound_bytes, const Symbols* outer) {
  const engine::Plan& plan = *plan_.plan;
  CARNOT_CHECK(inputs.size() == plan.inputs.size());
  Resolved* const last = current_;
  CARNOT_ASSIGN(current_, resolve(inputs, outer));
  Resolved& now = *current_;
  if (now.any_dynamic || current_ != last) symbols_ = now.symbols;
  const uint64_t generation = generation_;
  CARNOT_RETURN_IF_ERROR(grow_all(now));
  if (current_ != last || generation_ != generation || now.any_dynamic) set_views(now);
  for (size_t i = 0; i < inputs.size(); ++i) views_[static_cast<size_t>(plan.inputs[i])] = inputs[i];
  if (plan_.uses_device) CARNOT_RETURN_IF_ERROR(take_inputs(inputs));
  // Outputs go straight to the caller's memory where commands write them; the others are copied at the end.
  std::vector<bool> direct(bound.size(), false);
  for (size_t i = 0; i < bound.size(); ++i) {
    const auto b = static_cast<size_t>(plan.outputs[i]);
    if (now.moves[i].empty() || taken_on_device(i)) continue;
    const auto root = static_cast<size_t>(plan_.root[b]);
    char* const place = bound[i] ? static_cast<char*>(bound[i]) : static_cast<char*>(arena_.get()) + now.offset[root];
    if (bound[i] && bound_bytes[i] < views_[b].bytes())
      return invalid("output '{}' needs {} bytes for shape {}, the memory given holds {}", context_.engine->program().output_names[i], views_[b].bytes(),
                     to_string(views_[b].dims), bound_bytes[i]);
    for (size_t x : now.moves[i]) views_[x].data = place + (now.offset[x] - now.offset[root]);
    direct[i] = bound[i] != nullptr;
  }
  Status status = run_commands();
  if (status) status = finish_outputs(bound, bound_bytes, direct);
  // Only an asynchronous run of the network itself leaves work behind.
  if (!status || !main() || !context_.asynchronous) {
    Status waited = context_.wait();
    if (status) status = std::move(waited);
  }
  if (!status) current_ = nullptr;
  return status;
}

Status Frame::grow_all(const Resolved& now) {
  // Copies read and write the host's arena, so it is pinned.
  CARNOT_RETURN_IF_ERROR(grow(arena_, now.arena_bytes, plan_.uses_device ? Where::kPinned : Where::kHost));
  CARNOT_RETURN_IF_ERROR(grow(workspace_, now.workspace_bytes, Where::kHost));
  if (!plan_.uses_device) return {};
  CARNOT_RETURN_IF_ERROR(grow(device_arena_, now.device_arena_bytes, Where::kDevice));
  return grow(device_workspace_, now.device_workspace_bytes, Where::kDevice);
}

void Frame::set_views(const Resolved& now) {
  const engine::Plan& plan = *plan_.plan;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const engine::Buffer& buffer = plan.buffers[b];
    if (buffer.kind == engine::BufferKind::kInput) continue;
    const bool on_device = buffer.place == engine::Place::kDevice;
    views_[b].dtype = buffer.dtype;
    views_[b].dims = now.dims[b];
    if (buffer.kind == engine::BufferKind::kConstant)
      views_[b].data = on_device ? context_.on_device->constant(index_, b) : const_cast<std::byte*>(context_.engine->constants()) + buffer.offset;
    else
      views_[b].data = now.dynamic[b] ? nullptr : static_cast<char*>((on_device ? device_arena_ : arena_).get()) + now.offset[b];
  }
}

Status Frame::timed(size_t index) {
  if (!context_.profile) return run_command(index);
  CARNOT_RETURN_IF_ERROR(context_.wait());
  if (plan_.commands[index].on_device && !current_->commands[index].dynamic) return timed_on_device(index);
  // What sizes its results as it runs is timed with its launch and the host's waking.
  const auto begin = std::chrono::steady_clock::now();
  Status status = run_command(index);
  if (status) status = context_.wait();
  timings_[index].nanoseconds += (std::chrono::steady_clock::now() - begin).count();
  ++timings_[index].calls;
  return status;
}

Status Frame::run_commands() {
  size_t segment = 0;
  auto& segments = current_->segments;
  for (size_t c = 0; c < plan_.commands.size(); ++c) {
    Status status;
    const size_t begin = c;
    if (segment < segments.size() && segments[segment].first == c && !context_.profile) {
      c = segments[segment].last;
      status = run_segment(segments[segment++]);
    } else {
      status = timed(c);
    }
    if (!status) return std::move(status.error()).within(fmt::format("node {}", plan_.plan->commands[begin].where));
    if (context_.observe) context_.observe(*plan_.plan, c, current_->commands[c].out);
  }
  return {};
}

Status Frame::finish_outputs(std::span<void* const> bound, std::span<const size_t> bound_bytes, const std::vector<bool>& direct) {
  for (size_t i = 0; i < bound.size(); ++i) {
    if (!bound[i] || direct[i]) continue;
    TensorView& view = views_[static_cast<size_t>(plan_.plan->outputs[i])];
    if (bound_bytes[i] < view.bytes())
      return invalid("output '{}' needs {} bytes for shape {}, the memory given holds {}", context_.engine->program().output_names[i], view.bytes(),
                     to_string(view.dims), bound_bytes[i]);
    if (view.bytes() == 0) continue;
    if (!taken_on_device(i)) {
      if (context_.dirty) CARNOT_RETURN_IF_ERROR(context_.wait());
      std::memcpy(bound[i], view.data, view.bytes());
      continue;
    }
    const int32_t copy = plan_.output_copy[i];
    const void* from = copy < 0 ? view.data : views_[static_cast<size_t>(plan_.plan->commands[static_cast<size_t>(copy)].inputs[0])].data;
    context_.busy = context_.dirty = true;
    CARNOT_RETURN_IF_ERROR(context_.stream->copy(bound[i], from, view.bytes()));
  }
  return {};
}

Status Frame::run_command(size_t index) {
  Ready& ready = current_->commands[index];
  const engine::Command& c = *plan_.commands[index].command;
  for (size_t i = 0; i < ready.in.size(); ++i) {
    if (c.inputs[i] < 0) continue;
    const TensorView& view = views_[static_cast<size_t>(c.inputs[i])];
    ready.in[i].data = view.data;
    if (ready.dynamic) ready.in[i].dims = view.dims;
  }
  const LoadedCommand& loaded = plan_.commands[index];
  if (ready.dynamic && loaded.copies)
    CARNOT_RETURN_IF_ERROR(give_memory(static_cast<size_t>(c.outputs[0]), ready.in[0].dims));
  else if (ready.dynamic)
    CARNOT_RETURN_IF_ERROR(size_outputs(index, !kernel_of(index)));
  for (size_t i = 0; i < ready.out.size(); ++i) {
    const TensorView& view = views_[static_cast<size_t>(c.outputs[i])];
    ready.out[i].data = view.data;
    if (ready.dynamic) ready.out[i].dims = view.dims;
  }
  if (loaded.copies) return run_copy(index);
  if (loaded.on_device) return run_on_device(index);
  if (context_.dirty) CARNOT_RETURN_IF_ERROR(context_.wait());
  return loaded.kernel ? run_kernel(index) : run_reference(index);
}

Status Frame::run_kernel(size_t index) {
  Ready& ready = current_->commands[index];
  const cpu::Kernel& kernel = *plan_.commands[index].kernel;
  if (ready.dynamic)
    CARNOT_RETURN_IF_ERROR(grow(workspace_, std::max(workspace_.capacity, kernel.workspace(ready.in, ready.out, context_.pool->threads())), Where::kHost));
  return kernel.run({ready.in, ready.out, workspace_.get(), context_.pool.get()});
}

Result<ops::Facts> Frame::infer_now(size_t index) const {
  const Ready& ready = current_->commands[index];
  std::vector<ops::ValueFacts> facts(ready.in.size());
  std::vector<ops::InferCtx::Input> inputs(ready.in.size());
  for (size_t i = 0; i < ready.in.size(); ++i) {
    if (ready.in[i].dtype == DType::kInvalid) continue;
    facts[i] = {ready.in[i].dtype, to_shape(ready.in[i].dims)};
    inputs[i] = {&facts[i], &ready.in[i]};
  }
  int fresh = 0;
  const engine::Command& c = *plan_.commands[index].command;
  // Bodies were inferred when the engine was built; their results are sized when they have run.
  auto body = [&](size_t k, std::span<const ops::ValueFacts>) -> Result<ops::Facts> {
    const engine::Plan& plan = context_.engine->program().plans[static_cast<size_t>(c.bodies[k])];
    ops::Facts out;
    for (int32_t b : plan.outputs) {
      const engine::Buffer& buffer = plan.buffers[static_cast<size_t>(b)];
      ops::ValueFacts f{buffer.dtype, {}};
      for (const Dim& d : buffer.shape) {
        f.shape.push_back(d.is_constant() ? d : Dim::symbol(fmt::format("body{}", fresh++)));
      }
      out.push_back(std::move(f));
    }
    return out;
  };
  ops::InferCtx ctx(inputs, ready.out.size(), [&](std::string_view) { return Dim::symbol(fmt::format("run{}", fresh++)); }, body);
  return plan_.commands[index].op.infer(ctx);
}

Status Frame::give_memory(size_t buffer, const Dims& dims) {
  CARNOT_RETURN_IF_ERROR(checked_size(dims));
  views_[buffer].dims = dims;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(size_of(dims)), dtype_size(views_[buffer].dtype), &bytes) || bytes > (uint64_t{1} << 46))
    return fail(Code::kOutOfMemory, "a tensor of shape {} does not fit in memory", to_string(dims));
  const bool on_device = plan_.plan->buffers[buffer].place == engine::Place::kDevice;
  CARNOT_RETURN_IF_ERROR(grow(owned_[buffer], bytes, on_device ? Where::kDevice : Where::kHost));
  views_[buffer].data = owned_[buffer].get();
  return bind_symbols(buffer, dims);
}

Status Frame::bind_symbols(size_t buffer, const Dims& dims) {
  const Shape& shape = plan_.plan->buffers[buffer].shape;
  if (shape.size() != dims.size()) return invalid("a result has shape {}, the engine was built for rank {}", to_string(dims), shape.size());
  for (size_t a = 0; a < dims.size(); ++a) {
    if (auto symbol = shape[a].as_symbol(); symbol && !symbols_.count(*symbol)) {
      symbols_[*symbol] = dims[a];
      continue;
    }
    auto expected = shape[a].eval(symbols_);
    if (expected && *expected != dims[a])
      return invalid("a result has shape {} where the network needs {} (dimension {} must be {})", to_string(dims), to_string(shape), a, *expected);
  }
  return {};
}

// Gives outputs of run-time size their memory, as far as symbols or inference tell the size before the command runs.
Status Frame::size_outputs(size_t index, bool by_inference) {
  const engine::Command& c = *plan_.commands[index].command;
  std::optional<ops::Facts> facts;
  for (size_t i = 0; i < c.outputs.size(); ++i) {
    const auto b = static_cast<size_t>(c.outputs[i]);
    if (!current_->dynamic[b]) continue;
    views_[b].data = nullptr;
    const Shape* shape = &plan_.plan->buffers[b].shape;
    if (by_inference) {
      if (!facts) {
        CARNOT_ASSIGN(facts, infer_now(index));
      }
      shape = &(*facts)[i].shape;
    }
    Dims dims;
    for (const Dim& d : *shape) {
      auto value = by_inference && !d.is_constant() ? Result<int64_t>(invalid("unknown")) : d.eval(symbols_);
      if (!value) break;
      dims.push_back(*value);
    }
    if (dims.size() == shape->size())
      CARNOT_RETURN_IF_ERROR(give_memory(b, dims));
    else if (!by_inference)
      return fail(Code::kInternal, "kernel '{}' has an output whose shape {} is not known when it runs", c.kernel, to_string(*shape));
  }
  return {};
}

Frame& Frame::body(size_t command, size_t k) {
  auto& frame = bodies_[{command, k}];
  if (!frame) frame = std::make_unique<Frame>(context_, static_cast<size_t>(plan_.commands[command].command->bodies[k]));
  return *frame;
}

class RefContext final : public ops::EvalCtx {
 public:
  RefContext(Frame& frame, size_t index) : frame_(frame), index_(index) {
    in = frame.current_->commands[index].in;
    out = frame.current_->commands[index].out;
  }
  Status allocate(size_t i, Dims dims) override {
    const auto b = static_cast<size_t>(frame_.plan_.commands[index_].command->outputs[i]);
    if (!frame_.current_->dynamic[b]) {
      if (out[i].dims != dims) return invalid("a result has shape {}, the engine was built for {}", to_string(dims), to_string(out[i].dims));
      return {};
    }
    CARNOT_RETURN_IF_ERROR(frame_.give_memory(b, dims));
    out[i].dims = std::move(dims);
    out[i].data = frame_.views_[b].data;
    return {};
  }
  Result<std::vector<TensorView>> run_body(size_t k, std::span<const TensorView> inputs) override {
    Frame& body = frame_.body(index_, k);
    if (inputs.size() != body.plan_.plan->inputs.size())
      return fail(Code::kDataCorrupt, "body {} takes {} inputs, got {}", k, body.plan_.plan->inputs.size(), inputs.size());
    CARNOT_RETURN_IF_ERROR(body.run(inputs, {}, {}, &frame_.symbols_));
    std::vector<TensorView> results;
    for (size_t i = 0; i < body.plan_.plan->outputs.size(); ++i) results.push_back(body.output(i));
    return results;
  }

 private:
  Frame& frame_;
  size_t index_;
};

Status Frame::run_reference(size_t index) {
  Ready& ready = current_->commands[index];
  const ops::Operator& op = plan_.commands[index].op;
  // A reference kernel trusts the shapes it is given, so they are inferred again from what is really there: an engine that lies about a
  // shape, or an assumption about two dims that does not hold, ends here.
  if (op.info().bodies == 0) {
    CARNOT_ASSIGN(const ops::Facts facts, infer_now(index));
    for (size_t i = 0; i < ready.out.size(); ++i) {
      if (i >= facts.size() || facts[i].dtype != ready.out[i].dtype) return fail(Code::kDataCorrupt, "output {} has another dtype than the operator gives", i);
      if (!is_static(facts[i].shape) || !ready.out[i].data) continue;
      if (to_dims(facts[i].shape) != ready.out[i].dims)
        return invalid("the result would have shape {}, but the engine was built for {}", to_string(facts[i].shape), to_string(ready.out[i].dims));
    }
  }
  RefContext ctx(*this, index);
  return op.evaluate(ctx);
}

}  // namespace carnot::runtime
