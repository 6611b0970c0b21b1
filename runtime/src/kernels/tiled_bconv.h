// A binary convolution cut into tiles for the micro-kernels of one instruction set.
//
// Once, at prepare: the weights are rearranged to the kernels' format, and what zero padding takes away at each kind of border is
// computed. At each run, first every input row is prepared: padded at both ends and rewritten in the kernels' format. Then each
// tile is accumulated, scaled to float32 and left to the step's program.
//
//     prepared row:  | padding | pixel 0 | pixel 1 | ... | pixel W-1 | padding |      a pixel: input words * bytes of a word
//     rows above and below the image all are the same row of zeros
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/scaling.h"

namespace s2bnn {

class TiledBconv {
 public:
  // False for what only the reference kernel computes.
  static bool covers(const Op& op, const Partition& partition);

  TiledBconv(const Op& op, const Partition& partition, const Kernels& kernels);

  int rows() const { return output_[0] * output_[1]; }  // over the batch
  int input_rows() const { return input_[0] * input_[1]; }
  int width() const { return output_[2]; }
  int blocks() const { return static_cast<int>(blocks_.size()); }
  size_t weight_bytes() const { return weights_.size(); }

  // Rewrites input rows [first, last), counted over the batch.
  void prepare_rows(const uint32_t* input, int first, int last);

  // Channels of a block: where they start and how many there are.
  int first_channel(int block) const { return blocks_[block].channel; }
  int channels(int block) const { return blocks_[block].channels; }

  // Makes the tile of `pixels` pixels from `column` of an output row, float32. `sums` has room for a tile.
  void make_tile(int row, int column, int pixels, int block, uint16_t* sums, float* tile) const;

 private:
  struct Block {
    int group, channel, channels;
  };

  void pack_weights(const uint32_t* filter);
  void make_corrections(const Op& op, const Partition& partition);
  std::vector<float> correction(const Op& op, const Partition& partition, const std::vector<int32_t>& sums, uint64_t rows_outside,
                                uint64_t columns_outside) const;

  const Kernels& kernels_;
  const Window window_;
  const Shape input_, output_, filter_;  // of bits, of channels, of words
  int padding_top_, padding_left_;
  std::vector<Block> blocks_;
  ScaleParameters scale_;
  std::vector<float> multiplier_, bias_;  // per block and lane
  std::vector<uint8_t> weights_;
  size_t block_weight_bytes_ = 0;

  size_t pixel_bytes_ = 0, row_bytes_ = 0;
  std::vector<uint8_t> prepared_;  // row 0 is the row of zeros

  // Border kinds: which filter rows (columns) lie outside for an output row (column); kind 0 is none. And for each pair of kinds
  // a correction per block and lane.
  std::vector<int> row_kind_, column_kind_;
  int column_kinds_ = 0;
  std::vector<std::vector<float>> corrections_;
};

}  // namespace s2bnn
