// The micro-kernels of one instruction set: function pointers over tiles.
//
// A tile is up to kMaxTilePixels neighbouring pixels of one row by `block` channels, float32, channels together:
// tile[pixel * block + channel]. Whatever the instruction set, a kernel computes the same bits as the portable one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/plan.h"

namespace s2bnn {

constexpr int kMaxTilePixels = 8;
constexpr int kMaxBlock = 64;

// One tile of a binary convolution before scaling: for each pixel and output channel the number of input bits that differ from
// the filter's.
//
//   prepared pixel   [unit]             `units` pieces of lane_bits channels, one byte or word each; see PreparedFormat
//   weights          [tap][unit][lane]  one lane an output channel of the block, same format
//   sums             [pixel][lane]
struct ConvTile {
  const uint8_t* const* rows;  // per filter row: the prepared pixel under tap 0 of the tile's first output pixel
  int filter_height, filter_width;
  int units;          // of a pixel
  size_t pixel_step;  // bytes from one output pixel's input to the next one's
  size_t tap_step;    // bytes from one filter column's input to the next one's
  const uint8_t* weights;
  uint16_t* sums;
};

// From sums to float32, in the exact order of operations of Larq Compute Engine: the results are equal to the bit.
struct ScaleParameters {
  bool threshold = false;            // the tile becomes bias - sum: negative where a bit is to be set
  int32_t clamp_low, clamp_high;     // of 2 * sum
  const float* multiplier;           // per channel of the block
  const float* bias;
  const float* const* corrections;   // per pixel: what zero padding adds, per channel; null inside of the map
};

// An instruction of plan.h with its operands' addresses.
struct TileOp {
  Instruction::Code code;
  int source, destination, other;    // tiles
  int channel_offset;                // of `memory`
  const float* vector;               // from the step's channel 0 on, readable to the end of the last block
  void* memory;                      // of a tensor
  size_t pixel_stride;               // elements (words) of the tensor in one pixel
  float low, high;
};

struct TilePosition {
  size_t pixel;      // number of the first one, over batch, height and width
  int pixels;
  int channel;       // the first one of the block
  int channels;      // that exist: `block`, less in the last block
};

// The input window of a float pooling, for one output pixel after the other.
struct PoolTile {
  const float* input;   // of one image: [height][width][channels]
  int height, width, channels;
  int row, column;      // of the window's first element for the first pixel of the tile; may lie in the padding
  const Window* window;
  bool average;
};

enum class PreparedFormat {
  kNibbles,  // a byte for 4 channels: nibble * 16 in a prepared pixel, nibble in the weights
  kBytes,    // a byte for 8 channels
  kWords,    // a 32-bit word for 32 channels
};

struct Kernels {
  const char* name;
  int pixels;              // of the largest tile that accumulate takes, at most kMaxTilePixels
  int block;               // output channels of a tile: 32 or 64
  PreparedFormat format;
  void (*accumulate)(const ConvTile& tile, int pixels);
  void (*scale)(const ScaleParameters& parameters, const uint16_t* sums, int pixels, float* tile);
  void (*load)(const TileOp& source, const TilePosition& position, float* tile);
  void (*pool)(const PoolTile& pool, const TilePosition& position, float* tile);
  void (*run)(const TileOp* ops, size_t count, const TilePosition& position, float* tiles);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

// The best kernels for this processor, or those called `name` ("portable", "avx2", "neon"). Throws Error if the processor, or
// this build, does not have them.
const Kernels& select_kernels(const char* name = nullptr);

}  // namespace s2bnn
