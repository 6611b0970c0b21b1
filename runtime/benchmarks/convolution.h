// The binary convolutions of ReActNet-A at 224, with random bits.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "../tests/cpp/one_bconv.h"

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
  explicit Convolution(const Layer& layer)
      : one_({layer.size, layer.channels_in / 32, layer.channels_out, layer.filter, layer.stride, 1,
              1, true, 0},
             1) {
    const double output = one_.axis.output;
    macs_ = output * output * layer.channels_out * layer.filter * layer.filter * layer.channels_in;
  }

  double macs() const { return macs_; }

  void prepare(const Kernels& kernels) {
    bconv_ = std::make_unique<TiledBconv>(one_.op, one_.partition, kernels);
  }

  // Computes all of its sums, without the steps that would follow.
  void run() {
    bconv_->prepare_rows(one_.input.data(), 0, one_.shape.size);
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
  const OneBconv one_;
  double macs_ = 0;
  std::unique_ptr<TiledBconv> bconv_;
  AlignedVector<uint16_t> sums_ = AlignedVector<uint16_t>(kMaxTilePixels * kMaxBlock);
};

}  // namespace s2bnn
