#include "run/executor.h"

#include <algorithm>
#include <chrono>

#include "kernels/tiled_bconv.h"

namespace s2bnn {
namespace {

constexpr size_t kTileElements = size_t{kMaxTilePixels} * kMaxBlock;

bool has_fast_kernel(const Op& op, const Partition& partition) {
  switch (op.kind) {
    case OpKind::kBconv: return TiledBconv::covers(op, partition);
    case OpKind::kQuantize: return partition.tensors[op.inputs[0]].type == DataType::kFloat32;
    case OpKind::kDequantize:
    case OpKind::kBMaxPool: return false;
    default: return true;
  }
}

bool needs_reference(const Op& op, const Partition& partition) {
  return !has_fast_kernel(op, partition);
}

// If the reference is forced, all custom ops run on it. For the float ops there is no other kernel
// than the tiles'.
bool forces_reference(const Op& op, const Partition&) { return is_custom(op.kind); }

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

StepProfile describe(const Step& step, const Partition& partition) {
  const Op& op = partition.ops[step.op];
  StepProfile profile;
  profile.name = step.root == Step::Root::kLoad ? "LOAD" : name_of(op.kind);
  for (const Instruction& instruction : step.program) profile.name += name_of(instruction.code);
  profile.shape = step.shape;
  if (op.kind != OpKind::kBconv || step.root == Step::Root::kLoad) return profile;
  const Shape& filter = partition.tensors[op.inputs[1]].shape;
  const double products =
      static_cast<double>(filter[1]) * filter[2] * op.channels_in / groups_of(op, partition);
  profile.binary_macs = products * static_cast<double>(element_count(step.shape));
  return profile;
}

}  // namespace

Executor::Executor(const Partition& partition, const Kernels* kernels, bool fuse, int threads,
                   bool profile)
    : plan_(make_plan(partition, fuse && kernels != nullptr,
                      kernels != nullptr ? needs_reference : forces_reference)),
      arena_(plan_.arena_size),
      memory_(partition.tensors.size(), nullptr),
      pool_(threads),
      task_([this](int thread) { run_thread(thread); }),
      profiling_(profile) {
  const Kernels& tile_kernels = kernels != nullptr ? *kernels : kPortableKernels;
  for (const Step& step : plan_.steps) {
    runners_.push_back(make_runner(step, partition, tile_kernels));
    profile_.push_back(describe(step, partition));
    for (int phase = 0; phase < runners_.back()->phases(); ++phase) {
      passes_.emplace_back(pool_.threads());
    }
    largest_tile_count_ = std::max(largest_tile_count_, static_cast<size_t>(step.tiles));
  }
  for (int i = 0; i < pool_.threads(); ++i) {
    scratch_.emplace_back(kTileElements *
                          (sizeof(uint16_t) + (1 + largest_tile_count_) * sizeof(float)));
  }
}

Executor::~Executor() = default;

void Executor::run(const std::vector<void*>& memory) {
  for (size_t i = 0; i < memory_.size(); ++i) {
    const size_t offset = plan_.arena_offset[i];
    memory_[i] = offset != kNotInArena ? arena_.data() + offset : memory[i];
  }
  for (const auto& runner : runners_) runner->bind(memory_.data());
  for (Pass& pass : passes_) pass.reset();
  pool_.run(task_);
}

void Executor::run_thread(int thread) {
  Scratch scratch;
  scratch.sums = reinterpret_cast<uint16_t*>(scratch_[thread].data());
  scratch.made = reinterpret_cast<float*>(scratch.sums + kTileElements);
  scratch.slots = scratch.made + kTileElements;
  auto pass = passes_.begin();
  for (size_t i = 0; i < runners_.size(); ++i) {
    const double start = profiling_ ? seconds_now() : 0;
    for (int phase = 0; phase < runners_[i]->phases(); ++phase, ++pass) {
      for (int chunk; (chunk = pass->take(thread)) >= 0; pass->finish()) {
        runners_[i]->run(phase, chunk, pass->chunks(), scratch);
      }
      pass->wait();
    }
    if (!profiling_ || thread != 0) continue;
    profile_[i].seconds += seconds_now() - start;
    ++profile_[i].runs;
  }
}

}  // namespace s2bnn
