// One instruction of a step's program: float work on tiles. See plan.h for steps.
#pragma once

#include <vector>

namespace s2bnn {

// The largest number of channels in a tile. Kernels may read this far beyond a step's last channel.
constexpr int kMaxBlock = 128;

// Tiles are numbered as they appear: the root makes tile 0, and every other tile is written once.
struct Instruction {
  enum class Code {
    kAddVector,      // tile + vector of one value per channel
    kMulVector,      // tile * vector of one value per channel
    kPrelu,          // tile, where it is negative times a vector of one value per channel
    kClamp,          // tile, between low and high
    kLogistic,       // 1 / (1 + exp(-tile))
    kAddTensor,      // tile + tensor in memory
    kSubTensor,      // tile - tensor in memory
    kMulTensor,      // tile * tensor in memory
    kSubFromTensor,  // tensor in memory - tile
    kMulGate,        // tile * tensor in memory that has one pixel per image
    kAddTile,        // tile + tile
    kSubTile,        // tile - tile
    kMulTile,        // tile * tile
    kStore,          // writes a tile to a float tensor in memory
    kStorePooled,    // writes the means of 2x2 pixels to a tensor of half the height and width
    kStoreInt8,      // writes a tile, rounded, to an int8 tensor in memory
    kQuantize,       // writes the signs of a tile to a bit tensor in memory

    // Only in compiled programs (run/program.h): where the first tile comes from, and tiles that
    // are put aside.
    kScaleSums,
    kCompareSums,
    kTakeMade,
    kLoadTensor,
    kLoadTile,
    kSaveTile,
  };
  static constexpr int kCodes = static_cast<int>(Code::kSaveTile) + 1;

  Code code;
  int source = 0;          // tile
  int destination = -1;    // tile; -1 if the instruction writes to memory
  int other = -1;          // tile or tensor
  int channel_offset = 0;  // position of the step's first channel in the vector or tensor
  int image_pixels = 0;    // for kMulGate: how many pixels of the step an image has
  int period = 0;  // if the tensor is repeated along its channels: how many channels it has itself
  std::vector<float> vector;
  float low = 0.f, high = 0.f;
};

// A short name for profiles, "+ADD".
const char* name_of(Instruction::Code code);

// True if `other` is a tile.
bool reads_second_tile(Instruction::Code code);

// True if `other` is a tensor.
bool uses_memory(Instruction::Code code);

// True if the instruction has no destination tile.
bool writes_memory(Instruction::Code code);

}  // namespace s2bnn
