// The micro-kernels of one instruction set: function pointers that work on tiles.
//
// A tile is up to kMaxTilePixels consecutive pixels of a feature map by `block` channels. It may
// continue over rows and images, so only the last tile of a map is smaller. If a pooling of 2x2 is
// to be taken of it, it is a patch of two rows by four columns instead. On every instruction set a
// kernel computes the same bits as the portable one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/options.h"
#include "kernels/prepared_format.h"
#include "plan/instruction.h"

namespace s2bnn {

constexpr int kMaxTilePixels = 8;

// How many bytes kernels may read behind the weights and behind the prepared pixels.
constexpr size_t kReadBehind = 128;

// One tile of a binary convolution before scaling: for each pixel and output channel the number of
// input bits that differ from the filter's bits.
//
//   prepared pixel   [unit]             `units` pieces of some channels; see PreparedFormat
//   weights          [tap][unit][lane]  one lane per output channel of the block, in the same
//   format sums             [pixel][lane]
struct ConvTile {
  // For each output pixel the prepared pixel under the filter's first tap.
  const uint8_t* pixels[kMaxTilePixels];
  int filter_height, filter_width;
  int units;        // in a pixel, or in its channels of the group
  size_t row_step;  // bytes from one filter row's input to the next one's
  size_t tap_step;  // bytes from one filter column's input to the next one's
  int channels;     // of the block: the sums of absent ones need not be computed
  const uint8_t* weights;
  uint16_t* sums;
};

// How sums become float32, in the exact order of operations of Larq Compute Engine: the results are
// equal to the bit.
struct ScaleParameters {
  bool clamps = false;
  int32_t clamp_low = 0, clamp_high = 0;  // bounds of 2 * sum
  const float* multiplier;                // per output channel, like `bias`
  const float* bias;
};

// One operation of a tile's float work. It works on values that stay in registers; its operands
// come from memory.
struct TileOp {
  Instruction::Code code;
  const ScaleParameters* scale;  // for kScaleSums and kCompareSums
  const float* vector;           // per channel of the step, readable to the end of the last block
  int slot;                      // for kLoadTile, kSaveTile and the operations with a second tile
  void* memory;                  // the data of a tensor
  int channel_offset;            // position of the step's first channel in the tensor
  int image_pixels;              // of the step in an image, for kMulGate
  int period;           // how many channels the tensor has if it is repeated along them, else 0
  size_t pixel_stride;  // elements (words) of the tensor in one pixel
  float low, high;
};

struct TilePosition {
  size_t pixel;  // number of the first pixel, over batch, height and width
  int pixels;    // how many there are
  size_t skip;   // pixels left out after the fourth one: 0, or in a patch a row less four pixels
  size_t patch;  // number of the patch, row by row
  int channel;   // the first one of the block, a multiple of 32
  int channels;  // how many exist: `block`, or fewer in the last block
};

// Memory for the first operation of a program, and for values that are needed again.
struct TileMemory {
  const uint16_t* sums;  // [pixel][block], of a binary convolution
  // What zero padding adds, per pixel: null inside of the map. Null if no pixel has any.
  const float* const* corrections;
  const float* made;  // [pixel][block], of a pooling or a float convolution
  float* slots;       // [slot][pixel][block]
};

// The input of a float pooling.
struct PoolInput {
  const float* data;  // [image][height][width][channels]
  int height, width, channels;
  int output_height, output_width;
  int padding_top, padding_left;
  const Window* window;
  bool average;
};

// One tile of a float convolution with few products. It always has kMaxTilePixels pixels.
struct FloatConvTile {
  int channels;  // of the block that are needed
  // For each output pixel the prepared input under the filter's first tap.
  const float* pixels[kMaxTilePixels];
  int rows, row_length;  // of the filter; a row is its columns by input channels
  size_t row_step;       // elements from one filter row's input to the next one's
  const float* weights;  // [row][row_length][block]
  const float* bias;     // [block]
  float* tile;           // [pixel][block]
};

struct Kernels {
  const char* name;
  int block;  // output channels of a tile: 32, 64 or 128
  PreparedFormat format;
  void (*accumulate)(const ConvTile& tile, int pixels);
  void (*convolve)(const FloatConvTile& tile);
  void (*pool)(const PoolInput& input, const TilePosition& position, float* pooled);
  void (*run)(const TileOp* ops, size_t count, const TilePosition& position,
              const TileMemory& memory);
  size_t (*find_nearest)(const uint8_t* codes, size_t count, size_t words, const uint8_t* query,
                         size_t wanted, int64_t* rows,
                         uint32_t* distances);  // see nearest_codes.h
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512PopcountKernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

// Returns the best kernels for this processor, or those called `name` (see select.cc). Throws Error
// if the processor, or this build, does not have them.
const Kernels& select_kernels(const char* name = nullptr);

}  // namespace s2bnn
