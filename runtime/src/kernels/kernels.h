// The micro-kernels of one instruction set: function pointers over tiles.
//
// A tile is up to kMaxTilePixels consecutive pixels of a feature map (over rows and images: only the last tile of a map is
// smaller) by `block` channels. Where a pooling of 2x2 is to be taken of it, it is a patch of two rows by four columns instead.
// Whatever the instruction set, a kernel computes the same bits as the portable one.
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
//   prepared pixel   [unit]             `units` pieces of some channels, one byte or word each; see PreparedFormat
//   weights          [tap][unit][lane]  one lane an output channel of the block, same format
//   sums             [pixel][lane]
struct ConvTile {
  const uint8_t* pixels[kMaxTilePixels];  // for each output pixel: the prepared pixel under the filter's first tap
  int filter_height, filter_width;
  int units;        // of a pixel, or of its channels in the group
  size_t row_step;  // bytes from one filter row's input to the next one's
  size_t tap_step;  // bytes from one filter column's input to the next one's
  const uint8_t* weights;
  uint16_t* sums;
};

enum class PreparedFormat {
  kNibbles,    // a byte for 4 channels: nibble * 16 in a prepared pixel, nibble in the weights
  kBytes,      // a byte for 8 channels
  kWords,      // a 32-bit word for 32 channels
  kWordPairs,  // two words for 64 channels, the second one stored as the exclusive or of both
};

// From sums to float32, in the exact order of operations of Larq Compute Engine: the results are equal to the bit.
struct ScaleParameters {
  bool clamps = false;
  int32_t clamp_low = 0, clamp_high = 0;  // of 2 * sum
  const float* multiplier;                // per output channel, like `bias`
  const float* bias;
};

// One operation of a tile's float work. It works on values that stay in registers; operands come from memory.
struct TileOp {
  Instruction::Code code;
  const ScaleParameters* scale;  // of kScaleSums and kCompareSums
  const float* vector;           // one value per channel, from the step's channel 0 on, readable to the end of the last block
  int slot;                      // of kLoadTile, kSaveTile and the operations with a second tile
  void* memory;                  // of a tensor
  int channel_offset;            // of `memory`
  int period;                    // of `memory`: its channels are those of the step again and again; 0: they are not
  size_t pixel_stride;           // elements (words) of the tensor in one pixel
  float low, high;
};

struct TilePosition {
  size_t pixel;  // number of the first one, over batch, height and width
  int pixels;
  size_t skip;   // pixels left out after the fourth one: 0, or a row less four in a patch
  size_t patch;  // number of the patch, row by row
  int channel;   // the first one of the block, a multiple of 32
  int channels;  // that exist: `block`, less in the last block
};

// What the first operation of a program takes, and where values wait that are needed again.
struct TileMemory {
  const uint16_t* sums;              // [pixel][block], of a convolution
  const float* const* corrections;   // per pixel: what zero padding adds, per channel; null inside of the map
  const float* made;                 // [pixel][block], of a pooling or a float convolution
  float* slots;                      // [slot][pixel][block]
};

// The input of a float pooling.
struct PoolInput {
  const float* data;    // [image][height][width][channels]
  int height, width, channels;
  int output_height, output_width;
  int padding_top, padding_left;
  const Window* window;
  bool average;
};

// One tile of a float convolution with few products: all kMaxTilePixels pixels of it.
struct FloatConvTile {
  const float* pixels[kMaxTilePixels];  // for each output pixel: the prepared input under the filter's first tap
  int rows, row_length;                 // of the filter; a row is its columns by input channels
  size_t row_step;                      // elements from one filter row's input to the next one's
  const float* weights;                 // [row][row_length][block]
  const float* bias;                    // [block]
  float* tile;                          // [pixel][block]
};

struct Kernels {
  const char* name;
  int block;  // output channels of a tile: 32 or 64
  PreparedFormat format;
  void (*accumulate)(const ConvTile& tile, int pixels);
  void (*convolve)(const FloatConvTile& tile);
  void (*pool)(const PoolInput& input, const TilePosition& position, float* pooled);
  void (*run)(const TileOp* ops, size_t count, const TilePosition& position, const TileMemory& memory);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512PopcountKernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

// The best kernels for this processor, or those called `name` (see select.cc). Throws Error if the processor, or this build, does
// not have them.
const Kernels& select_kernels(const char* name = nullptr);

}  // namespace s2bnn
