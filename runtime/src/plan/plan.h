// The plan of a partition: what runs in which order, and what it keeps in memory.
//
// A step is one pass over the pixels of a feature map. It has a root, which makes tiles of float32
// values (a binary convolution, a pooling, or a plain load from memory), and a program: the float
// work that follows, applied while the tile is in the first-level cache. A block of ReActNet is
// therefore one step:
//
//     LceBconv2d -> ADD shortcut -> ADD bias -> PRELU -> ADD bias -+-> stored: the next shortcut
//                                                                  |
//                           stored: the next input <- LceQuantize <- ADD threshold
//
// A concatenation along channels vanishes: every step that makes one of its inputs continues with
// the program of its output, for its own channels, and stores there. Ops that do not work on float
// tiles are steps of their own (Root::kPlain).
#pragma once

#include <set>
#include <vector>

#include "graph/op.h"
#include "plan/instruction.h"

namespace s2bnn {

struct Step {
  enum class Root { kBconv, kConv, kAveragePool, kMaxPool, kLoad, kPlain };
  Root root = Root::kPlain;
  int op = -1;     // index in the partition; the first op of a kLoad
  int input = -1;  // the tensor that the root reads
  Shape shape;     // of the root's tiles: [..., channels]; not used by kPlain
  std::vector<Instruction> program;
  bool patches = false;         // tiles are patches of two rows by four columns, for kStorePooled
  int widening = 1;             // how many pixels the tiles treat as one; see widen() in plan.cc
  int tiles = 1;                // how many tiles the program uses at once
  std::set<int> reads, writes;  // tensors in memory, without constants
};

struct Plan {
  std::vector<Step> steps;           // in execution order
  std::vector<size_t> arena_offset;  // per tensor: its offset in the arena, or kNotInArena
  size_t arena_size = 0;
};
constexpr size_t kNotInArena = ~size_t{0};

// True for an op that only the reference kernel computes, so that it has to be a step of its own.
using NeedsReference = bool (*)(const Op& op, const Partition& partition);

// Orders and fuses a partition whose shapes are inferred. Without `fuse` every op is a step of its
// own.
Plan make_plan(const Partition& partition, bool fuse, NeedsReference needs_reference);

// Gives every tensor that lives between two steps a place in one arena, such that tensors that are
// alive at the same time do not overlap.
void plan_memory(const Partition& partition, Plan* plan);

}  // namespace s2bnn
