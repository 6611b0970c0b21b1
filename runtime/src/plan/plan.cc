#include "plan/plan.h"

#include <algorithm>
#include <numeric>

#include "base/aligned.h"
#include "plan/fusion.h"

namespace s2bnn {
namespace {

constexpr int kWidestLanes = 16;  // floats in the widest registers

// Renumbers a program's tiles so that a tile is written again once its last use has passed: fewer
// tiles take room in the cache.
void reuse_tiles(Step* step) {
  std::vector<size_t> last_use(step->tiles, 0);
  for (size_t i = 0; i < step->program.size(); ++i) {
    const Instruction& instruction = step->program[i];
    last_use[instruction.source] = i;
    if (reads_second_tile(instruction.code)) last_use[instruction.other] = i;
  }
  std::vector<int> place(step->tiles, 0);
  std::vector<int> free_places;
  int places = 1;
  for (size_t i = 0; i < step->program.size(); ++i) {
    Instruction& instruction = step->program[i];
    const int source = instruction.source;
    const int other = instruction.other;
    const bool uses_tile = reads_second_tile(instruction.code);
    if (last_use[source] == i) free_places.push_back(place[source]);
    if (uses_tile && other != source && last_use[other] == i) free_places.push_back(place[other]);
    instruction.source = place[source];
    if (uses_tile) instruction.other = place[other];
    if (instruction.destination < 0) continue;
    // Every instruction reads an element before it writes it, so a tile may take the place of its
    // own operand.
    if (free_places.empty()) free_places.push_back(places++);
    place[instruction.destination] = free_places.back();
    instruction.destination = free_places.back();
    free_places.pop_back();
  }
  step->tiles = places;
}

// A pass over a map of few channels, like the normalization of an image, would leave most lanes of
// a register empty. If a program treats all channels alike, it may treat several pixels as one
// pixel with as many channels.
void widen(const Partition& partition, Step* step) {
  const int channels = step->shape.back();
  const int wide = std::lcm(channels, kMaxBlock);
  const size_t elements = element_count(step->shape);
  if (step->root != Step::Root::kLoad || channels % kWidestLanes == 0 || channels > kMaxBlock ||
      elements % wide != 0)
    return;
  for (const Instruction& instruction : step->program) {
    const bool in_tensor = uses_memory(instruction.code);
    if (instruction.code == Instruction::Code::kQuantize ||
        instruction.code == Instruction::Code::kMulGate) {
      return;
    }
    if (in_tensor && partition.tensors[instruction.other].shape.back() != channels) return;
  }
  step->widening = wide / channels;
  step->shape = {static_cast<int>(elements / wide), wide};
  for (Instruction& instruction : step->program) {
    const std::vector<float> once = instruction.vector;
    for (int i = 1; i < step->widening; ++i) {
      instruction.vector.insert(instruction.vector.end(), once.begin(), once.end());
    }
  }
}

struct Lifetime {
  int tensor;
  size_t bytes;
  int first_step, last_step;
  size_t offset;
};

std::vector<Lifetime> lifetimes(const Partition& partition, const Plan& plan) {
  std::vector<bool> in_arena(partition.tensors.size(), true);
  for (int i : partition.inputs) in_arena[i] = false;
  for (int i : partition.outputs) in_arena[i] = false;
  std::vector<int> slot(partition.tensors.size(), -1);
  std::vector<Lifetime> result;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const int step = static_cast<int>(s);
    for (const std::set<int>* used : {&plan.steps[s].writes, &plan.steps[s].reads}) {
      for (int tensor : *used) {
        if (!in_arena[tensor]) continue;
        if (slot[tensor] < 0) {
          slot[tensor] = static_cast<int>(result.size());
          const Tensor& t = partition.tensors[tensor];
          const size_t bytes = element_count(t.shape) * element_size(t.type);
          result.push_back(
              {tensor, (bytes + kCacheLine - 1) / kCacheLine * kCacheLine, step, step, 0});
        }
        result[slot[tensor]].last_step = step;
      }
    }
  }
  return result;
}

}  // namespace

Plan make_plan(const Partition& partition, bool fuse, NeedsReference needs_reference) {
  Plan plan;
  plan.steps = Fusion(partition, fuse, needs_reference).run();
  for (Step& step : plan.steps) {
    reuse_tiles(&step);
    widen(partition, &step);
  }
  plan_memory(partition, &plan);
  return plan;
}

// Places the largest tensor first, each at the lowest offset that is free during its life.
void plan_memory(const Partition& partition, Plan* plan) {
  std::vector<Lifetime> tensors = lifetimes(partition, *plan);
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const Lifetime& a, const Lifetime& b) { return a.bytes > b.bytes; });
  plan->arena_offset.assign(partition.tensors.size(), kNotInArena);
  plan->arena_size = 0;
  std::vector<Lifetime> placed;  // by offset
  for (Lifetime& tensor : tensors) {
    tensor.offset = 0;
    for (const Lifetime& other : placed) {
      const bool alive_together =
          tensor.first_step <= other.last_step && other.first_step <= tensor.last_step;
      if (!alive_together || other.offset + other.bytes <= tensor.offset) continue;
      if (tensor.offset + tensor.bytes <= other.offset) break;
      tensor.offset = other.offset + other.bytes;
    }
    const auto behind = [](const Lifetime& a, const Lifetime& b) { return a.offset < b.offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), tensor, behind), tensor);
    plan->arena_offset[tensor.tensor] = tensor.offset;
    plan->arena_size = std::max(plan->arena_size, tensor.offset + tensor.bytes);
  }
}

}  // namespace s2bnn
