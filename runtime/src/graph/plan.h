// The plan of a partition: what runs in which order, and what it keeps in memory.
//
// A step is one pass over the pixels of a feature map. It has a root, which makes tiles of float32 values (a binary convolution,
// a pooling, or a plain load from memory), and a program: the float work that follows, applied while the tile is in the
// first-level cache. So a block of ReActNet becomes one step:
//
//     LceBconv2d -> ADD shortcut -> ADD bias -> PRELU -> ADD bias -+-> stored: the next shortcut
//                                                                  +-> ADD threshold -> LceQuantize -> stored: the next input
//
// A concatenation along channels vanishes: every step that makes one of its inputs goes on with the program of its output, for
// its own channels, and stores there. Ops that do not work on float tiles are steps of their own (Root::kPlain).
#pragma once

#include <set>
#include <vector>

#include "graph/op.h"

namespace s2bnn {

// One instruction on tiles. Tiles are numbered as they appear: the root makes tile 0, every other one is written once.
struct Instruction {
  enum class Code {
    kAddVector, kMulVector, kPrelu,          // tile, vector of one value per channel
    kClamp,                                  // tile, low, high
    kAddTensor, kSubTensor, kMulTensor,      // tile, tensor in memory
    kSubFromTensor,                          // tensor in memory minus tile
    kAddTile, kSubTile, kMulTile,            // tile, tile
    kStore,                                  // tile to a float tensor in memory
    kStorePooled,                            // the means of its 2x2 pixels to a float tensor of half the height and width
    kStoreInt8,                              // tile, rounded, to an int8 tensor in memory
    kQuantize,                               // tile to a bit tensor in memory
    // Only in what programs are compiled to (kernels/tile_program.h): where the first tile comes from, and tiles put aside.
    kScaleSums, kCompareSums, kTakeMade, kLoadTensor, kLoadTile, kSaveTile,
  };
  Code code;
  int source = 0;           // tile
  int destination = -1;     // tile; -1: writes memory
  int other = -1;           // tile or tensor
  int channel_offset = 0;   // where this step's first channel lies in the vector or tensor
  int period = 0;           // of a tensor that stands for itself concatenated with itself: its channels
  std::vector<float> vector;
  float low = 0.f, high = 0.f;
};

struct Step {
  enum class Root { kBconv, kConv, kAveragePool, kMaxPool, kLoad, kPlain };
  Root root = Root::kPlain;
  int op = -1;      // of the partition; the first op of a kLoad
  int input = -1;   // the tensor that the root reads
  Shape shape;      // of the root's tiles: [..., channels]; unused by kPlain
  std::vector<Instruction> program;
  bool patches = false;  // tiles of two rows by four columns, for kStorePooled
  int widening = 1; // how many pixels the tiles take for one, see widen() in plan.cc
  int tiles = 1;    // how many tiles the program uses at once
  std::set<int> reads, writes;  // tensors in memory, constants left out
};

struct Plan {
  std::vector<Step> steps;             // in execution order
  std::vector<size_t> arena_offset;    // per tensor: where it lies in the arena; kNotInArena for all others
  size_t arena_size = 0;
};
constexpr size_t kNotInArena = ~size_t{0};

// A convolution that only the reference kernel computes, so that it has to be a step of its own.
using NeedsReference = bool (*)(const Op& op, const Partition& partition);

// Orders and fuses a partition whose shapes are inferred. With `fuse` unset every op is a step of its own.
Plan make_plan(const Partition& partition, bool fuse, NeedsReference needs_reference);

// Gives every tensor that lives between two steps a place in one arena, such that tensors alive at the same time do not overlap.
void plan_memory(const Partition& partition, Plan* plan);

}  // namespace s2bnn
