// The binary convolutions of ReActNet-A at 224, with random bits.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "kernels/tiled_bconv.h"

namespace s2bnn {

struct Layer {
  int size, channels_in, channels_out, filter, stride, count;
};

// The 3x3 and 1x1 convolutions of the 13 blocks. In blocks that double the channels, the 1x1 does
// so.
inline const Layer kLayers[] = {
    {112, 32, 32, 3, 1, 1},  {112, 32, 64, 1, 1, 1},   {112, 64, 64, 3, 2, 1},
    {56, 64, 128, 1, 1, 1},  {56, 128, 128, 3, 1, 1},  {56, 128, 128, 1, 1, 1},
    {56, 128, 128, 3, 2, 1}, {28, 128, 256, 1, 1, 1},  {28, 256, 256, 3, 1, 1},
    {28, 256, 256, 1, 1, 1}, {28, 256, 256, 3, 2, 1},  {14, 256, 512, 1, 1, 1},
    {14, 512, 512, 3, 1, 5}, {14, 512, 512, 1, 1, 5},  {14, 512, 512, 3, 2, 1},
    {7, 512, 1024, 1, 1, 1}, {7, 1024, 1024, 3, 1, 1}, {7, 1024, 1024, 1, 1, 1}};

// A convolution of random bits, with everything that it points to.
class Convolution {
 public:
  explicit Convolution(const Layer& layer) : layer_(layer) {
    std::mt19937 random(1);
    const int words = layer.channels_in / 32;
    const int output = (layer.size + layer.stride - 1) / layer.stride;
    for (std::vector<uint32_t>* bits : {&input_, &filter_}) {
      bits->resize(static_cast<size_t>(bits == &input_
                                           ? layer.size * layer.size
                                           : layer.channels_out * layer.filter * layer.filter) *
                   words);
      for (uint32_t& word : *bits) word = static_cast<uint32_t>(random());
    }
    ones_.assign(layer.channels_out, 1.f);
    op_.kind = OpKind::kBconv;
    op_.channels_in = layer.channels_in;
    op_.window = {layer.filter, layer.filter, layer.stride, layer.stride, 1, 1, true};
    op_.inputs = {add(DataType::kBits, {1, layer.size, layer.size, words}, nullptr),
                  add(DataType::kBits, {layer.channels_out, layer.filter, layer.filter, words},
                      filter_.data()),
                  add(DataType::kFloat32, {layer.channels_out}, ones_.data()),
                  add(DataType::kFloat32, {layer.channels_out}, ones_.data()), -1};
    op_.output = add(DataType::kFloat32, {1, output, output, layer.channels_out}, nullptr);
    macs_ = static_cast<double>(output) * output * layer.channels_out * layer.filter *
            layer.filter * layer.channels_in;
  }

  double macs() const { return macs_; }

  void prepare(const Kernels& kernels) {
    bconv_ = std::make_unique<TiledBconv>(op_, partition_, kernels);
  }

  // Computes all of its sums, without the steps that would follow.
  void run() {
    bconv_->prepare_rows(input_.data(), 0, layer_.size);
    for (int block = 0; block < bconv_->blocks(); ++block) {
      for (size_t pixel = 0; pixel < bconv_->pixels(); pixel += kMaxTilePixels) {
        const int pixels =
            static_cast<int>(std::min<size_t>(kMaxTilePixels, bconv_->pixels() - pixel));
        bconv_->accumulate(bconv_->locate({pixel, pixels, 0, 0, 0, 0}), pixels, block,
                           sums_.data());
      }
    }
  }

 private:
  int add(DataType type, Shape shape, const void* constant) {
    Tensor tensor;
    tensor.type = type;
    tensor.shape = shape;
    tensor.constant = constant;
    partition_.tensors.push_back(tensor);
    return static_cast<int>(partition_.tensors.size()) - 1;
  }

  const Layer layer_;
  std::vector<uint32_t> input_, filter_;
  std::vector<float> ones_;
  Partition partition_;
  Op op_;
  double macs_ = 0;
  std::unique_ptr<TiledBconv> bconv_;
  AlignedVector<uint16_t> sums_ = AlignedVector<uint16_t>(kMaxTilePixels * kMaxBlock);
};

}  // namespace s2bnn
