// A binary convolution cut into tiles for the micro-kernels of one instruction set.
//
// When it is prepared, the weights are rearranged to the kernels' format, and the amount that zero
// padding takes away at each kind of border is computed. In each run, first every input row is
// prepared: padded at both ends and rewritten in the kernels' format. Then each tile is accumulated
// and left to the step's program.
//
//     prepared image:  | padding  padding  padding  padding |     a pixel: for each group its
//     words,
//                      | padding  pixel 0  pixel 1  padding |              in the kernels' format
//                      | padding  padding  padding  padding |
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned.h"
#include "graph/op.h"
#include "kernels/kernels.h"
#include "kernels/scaling.h"

namespace s2bnn {

class TiledBconv {
 public:
  // False for an op that only the reference kernel computes.
  static bool covers(const Op& op, const Partition& partition);

  TiledBconv(const Op& op, const Partition& partition, const Kernels& kernels);

  size_t pixels() const { return pixel_count(output_); }
  int input_rows() const { return input_[0] * input_[1]; }
  int blocks() const { return static_cast<int>(blocks_.size()); }
  size_t weight_bytes() const { return weights_.size(); }
  const ScaleParameters& scale() const { return scale_; }
  bool compares() const { return compares_; }  // against thresholds, instead of scaling

  // Rewrites input rows [first, last), counted over the batch.
  void prepare_rows(const uint32_t* input, int first, int last);

  // The first channel of a block, and how many channels it has.
  int first_channel(int block) const { return blocks_[block].channel; }
  int channels(int block) const { return blocks_[block].channels; }

  // The addresses of a tile's input. `corrections` has an entry for each pixel; see TileMemory.
  struct Place {
    const uint8_t* pixels[kMaxTilePixels];
    const float* corrections[kMaxTilePixels];
    bool corrected;  // true if there is one
  };
  Place locate(const TilePosition& position) const;

  // Writes the sums of a block of channels. There must be room for a whole tile.
  void accumulate(const Place& place, int pixels, int block, uint16_t* sums) const;

 private:
  // Locates pixels [p, last) of a tile, which follow each other, the first of them being `pixel`.
  void locate_run(size_t pixel, int p, int last, Place* place) const;

  struct Block {
    int group, channel, channels;
  };

  void pack_weights(const uint32_t* filter);
  void set_scale(const Op& op, const Partition& partition);
  void make_corrections(const Op& op, const Partition& partition);
  AlignedVector<float> correction(const Op& op, const Partition& partition,
                                  const std::vector<int32_t>& sums, uint64_t rows_outside,
                                  uint64_t columns_outside) const;

  const Kernels& kernels_;
  const Window window_;
  const Shape input_, output_, filter_;  // in bits, in channels, in words
  const int groups_;
  int padding_top_, padding_left_;
  std::vector<Block> blocks_;
  bool compares_;
  ScaleParameters scale_;
  AlignedVector<float> multiplier_, bias_;  // per channel
  AlignedVector<uint8_t> weights_;
  size_t block_weight_bytes_ = 0;

  size_t group_bytes_ = 0, pixel_bytes_ = 0, row_bytes_ = 0;  // of the prepared input
  int prepared_rows_ = 0;                                     // per image
  AlignedVector<uint8_t> prepared_;

  // Border kinds: which filter rows (columns) lie outside of the input for an output row (column);
  // kind 0 means none. For each pair of kinds there is a correction per channel.
  std::vector<int> row_kind_;                      // empty without zero padding
  std::vector<AlignedVector<float>> corrections_;  // the first one, for two kinds 0, is not used
  std::vector<std::vector<const float*>>
      borders_;  // [row kind][output column]: a correction, or null
};

}  // namespace s2bnn
