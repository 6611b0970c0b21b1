// The first convolution of a network: float32, with few input channels. Larger ones are better left
// to the host.
//
// Like the input of a binary convolution (tiled_bconv.h), the input is copied with its padding, so
// that a row of filter taps is one run of numbers:
//
//     prepared image:  | 0 0 0  0 0 0  0 0 0 |      a pixel: its channels
//                      | 0 0 0  r g b  0 0 0 |
//     weights          [block][filter row, filter column, input channel][lane]
#pragma once

#include "base/aligned.h"
#include "graph/op.h"
#include "kernels/kernels.h"

namespace s2bnn {

class FloatConv {
 public:
  FloatConv(const Op& op, const Partition& partition, const Kernels& kernels);

  size_t pixels() const { return pixel_count(output_); }
  int input_rows() const { return input_[0] * input_[1]; }

  // Copies input rows [first, last), counted over the batch.
  void prepare_rows(const float* input, int first, int last);

  // Computes the values of a tile, [pixel][block], before an activation.
  void compute(const TilePosition& position, float* tile) const;

 private:
  const Kernels& kernels_;
  const Window window_;
  const Shape input_, output_;
  int padding_top_, padding_left_;
  int prepared_rows_;    // per image
  size_t prepared_row_;  // elements
  AlignedVector<float> prepared_, weights_, bias_;
};

}  // namespace s2bnn
