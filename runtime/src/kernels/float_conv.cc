#include "kernels/float_conv.h"

#include <algorithm>

namespace s2bnn {

FloatConv::FloatConv(const Op& op, const Partition& partition, const Kernels& kernels)
    : kernels_(kernels),
      window_(op.window),
      input_(partition.tensors[op.inputs[0]].shape),
      output_(partition.tensors[op.output].shape) {
  const Window& w = window_;
  const WindowAxis rows = slide(input_[1], w.filter_height, w.stride_height, 1, w.same_padding);
  const WindowAxis columns = slide(input_[2], w.filter_width, w.stride_width, 1, w.same_padding);
  padding_top_ = rows.padding;
  padding_left_ = columns.padding;
  prepared_rows_ =
      std::max((rows.output - 1) * w.stride_height + w.filter_height, padding_top_ + input_[1]);
  const int width =
      std::max((columns.output - 1) * w.stride_width + w.filter_width, padding_left_ + input_[2]);
  prepared_row_ = static_cast<size_t>(width) * input_[3];
  prepared_.assign(static_cast<size_t>(input_[0]) * prepared_rows_ * prepared_row_, 0.f);

  const float* filter = static_cast<const float*>(partition.tensors[op.inputs[1]].constant);
  const float* bias = op.inputs[2] < 0
                          ? nullptr
                          : static_cast<const float*>(partition.tensors[op.inputs[2]].constant);
  const size_t channels = output_[3], block = kernels.block;
  const size_t products = static_cast<size_t>(w.filter_height) * w.filter_width * input_[3];
  bias_.assign(channels + kMaxBlock, 0.f);  // kernels read to the end of the last block
  weights_.assign((channels + block - 1) / block * block * products, 0.f);
  for (size_t c = 0; c < channels; ++c) {
    if (bias != nullptr) bias_[c] = bias[c];
    for (size_t i = 0; i < products; ++i) {
      weights_[(c / block * products + i) * block + c % block] = filter[c * products + i];
    }
  }
}

void FloatConv::prepare_rows(const float* input, int first, int last) {
  const size_t size = static_cast<size_t>(input_[2]) * input_[3];
  const size_t padding = static_cast<size_t>(padding_left_) * input_[3];
  for (int row = first; row < last; ++row) {
    const size_t prepared_row =
        static_cast<size_t>(row / input_[1]) * prepared_rows_ + padding_top_ + row % input_[1];
    std::copy_n(input + row * size, size,
                prepared_.data() + prepared_row * prepared_row_ + padding);
  }
}

void FloatConv::compute(const TilePosition& position, float* tile) const {
  const uint32_t height = output_[1], width = output_[2];
  uint32_t row = static_cast<uint32_t>(position.pixel) / width;  // over the batch
  uint32_t column = static_cast<uint32_t>(position.pixel) - row * width;
  FloatConvTile conv;
  for (int p = 0; p < position.pixels; ++row, column = 0) {
    const size_t prepared_row =
        static_cast<size_t>(row / height) * prepared_rows_ + row % height * window_.stride_height;
    const float* input = prepared_.data() + prepared_row * prepared_row_;
    for (; p < position.pixels && column < width; ++p, ++column) {
      conv.pixels[p] = input + static_cast<size_t>(column) * window_.stride_width * input_[3];
    }
  }
  // An absent pixel is computed as if it were the last one.
  std::fill(conv.pixels + position.pixels, conv.pixels + kMaxTilePixels,
            conv.pixels[position.pixels - 1]);
  conv.channels = position.channels;
  conv.rows = window_.filter_height;
  conv.row_length = window_.filter_width * input_[3];
  conv.row_step = prepared_row_;
  conv.weights =
      weights_.data() + static_cast<size_t>(position.channel) * conv.rows * conv.row_length;
  conv.bias = bias_.data() + position.channel;
  conv.tile = tile;
  kernels_.convolve(conv);
}

}  // namespace s2bnn
