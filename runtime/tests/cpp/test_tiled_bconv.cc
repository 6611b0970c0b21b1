// The sums of binary convolutions, with every kernel that this processor has, against bits counted
// one by one. The shapes are drawn at random, with those that kernels treat differently: few and
// many channels, blocks that are not full, tiles of fewer than eight pixels, dilated filters, and
// sums of bytes that overflow.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/tiled_bconv.h"

namespace {

using namespace s2bnn;

struct Case {
  int size, words, channels_out, filter, stride, dilation, groups;
  bool same_padding;
};

class Convolution {
 public:
  Convolution(const Case& c, uint32_t seed) : case_(c) {
    std::mt19937 random(seed);
    input_.resize(static_cast<size_t>(c.size) * c.size * c.words);
    filter_.resize(static_cast<size_t>(c.channels_out) * c.filter * c.filter * c.words / c.groups);
    for (std::vector<uint32_t>* bits : {&input_, &filter_}) {
      for (uint32_t& word : *bits) word = static_cast<uint32_t>(random());
    }
    // All bits of some filters and pixels differ, for the largest sums.
    std::fill(input_.begin(), input_.begin() + static_cast<long>(input_.size() / 3), 0u);
    std::fill(filter_.begin(), filter_.begin() + static_cast<long>(filter_.size() / 3), ~0u);
    ones_.assign(c.channels_out, 1.f);
    const WindowAxis axis = slide(c.size, c.filter, c.stride, c.dilation, c.same_padding);
    output_ = axis.output;
    padding_ = axis.padding;
    op_.kind = OpKind::kBconv;
    op_.channels_in = 32 * c.words;
    op_.pad_value = 1;
    op_.window = {c.filter, c.filter, c.stride, c.stride, c.dilation, c.dilation, c.same_padding};
    op_.inputs = {add(DataType::kBits, {1, c.size, c.size, c.words}, nullptr),
                  add(DataType::kBits, {c.channels_out, c.filter, c.filter, c.words / c.groups},
                      filter_.data()),
                  add(DataType::kFloat32, {c.channels_out}, ones_.data()),
                  add(DataType::kFloat32, {c.channels_out}, ones_.data()), -1};
    op_.output = add(DataType::kFloat32, {1, output_, output_, c.channels_out}, nullptr);
  }

  bool possible() const { return output_ > 0 && TiledBconv::covers(op_, partition_); }

  // The number of bits that differ, counted one by one.
  int expected(size_t pixel, int channel) const {
    const int y = static_cast<int>(pixel) / output_, x = static_cast<int>(pixel) % output_;
    const int words = case_.words / case_.groups;
    const int group = channel / (case_.channels_out / case_.groups);
    int sum = 0;
    for (int fy = 0; fy < case_.filter; ++fy) {
      for (int fx = 0; fx < case_.filter; ++fx) {
        const int iy = y * case_.stride - padding_ + fy * case_.dilation;
        const int ix = x * case_.stride - padding_ + fx * case_.dilation;
        const bool inside = iy >= 0 && iy < case_.size && ix >= 0 && ix < case_.size;
        for (int w = 0; w < words; ++w) {
          const uint32_t bits =
              inside ? input_[(iy * case_.size + ix) * case_.words + group * words + w] : 0;
          const size_t tap = (channel * case_.filter + fy) * case_.filter + fx;
          sum += __builtin_popcount(bits ^ filter_[tap * words + w]);
        }
      }
    }
    return sum;
  }

  // The first sum that is wrong, as a sentence; an empty one if there is none.
  std::string check(const Kernels& kernels, int tile_pixels) const {
    TiledBconv bconv(op_, partition_, kernels);
    bconv.prepare_rows(input_.data(), 0, case_.size);
    std::vector<uint16_t> sums(kMaxTilePixels * kMaxBlock);
    for (int block = 0; block < bconv.blocks(); ++block) {
      for (size_t pixel = 0; pixel < bconv.pixels(); pixel += tile_pixels) {
        const int pixels = static_cast<int>(std::min<size_t>(tile_pixels, bconv.pixels() - pixel));
        std::fill(sums.begin(), sums.end(), uint16_t{0xaaaa});
        bconv.accumulate(bconv.locate({pixel, pixels, 0, 0, 0, 0}), pixels, block, sums.data());
        for (int p = 0; p < pixels; ++p) {
          for (int c = 0; c < bconv.channels(block); ++c) {
            const int channel = bconv.first_channel(block) + c;
            const int wanted = expected(pixel + p, channel);
            const int got = sums[p * kernels.block + c];
            if (got == wanted) continue;
            return "pixel " + std::to_string(pixel + p) + ", channel " + std::to_string(channel) +
                   ": " + std::to_string(got) + " instead of " + std::to_string(wanted);
          }
        }
      }
    }
    return "";
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

  const Case case_;
  std::vector<uint32_t> input_, filter_;
  std::vector<float> ones_;
  Partition partition_;
  Op op_;
  int output_ = 0, padding_ = 0;
};

template <class T>
T choose(std::mt19937* random, const std::vector<T>& from) {
  return from[(*random)() % from.size()];
}

}  // namespace

int main() {
  std::mt19937 random(0);
  int runs = 0;
  for (const char* name : {"portable", "avx2", "avx512", "avx512_vpopcntdq", "neon"}) {
    const Kernels* kernels;
    try {
      kernels = &select_kernels(name);
    } catch (const Error&) {
      continue;
    }
    for (int i = 0; i < 60; ++i) {
      Case c;
      c.size = choose<int>(&random, {1, 3, 4, 6, 9});
      c.words = choose<int>(&random, {1, 1, 2, 3, 4, 8});
      c.filter = choose<int>(&random, {1, 2, 3, 3, 5});
      c.stride = choose<int>(&random, {1, 1, 2, 3});
      c.dilation = choose<int>(&random, {1, 1, 2});
      c.groups = c.words % 2 == 0 ? choose<int>(&random, {1, 1, 2}) : 1;
      c.channels_out = c.groups * choose<int>(&random, {32, 32, 64, 96, 128});
      if (c.groups == 1 && i % 5 == 0) c.channels_out = choose<int>(&random, {1, 7, 33, 65});
      c.same_padding = random() % 2 == 0;
      const Convolution convolution(c, static_cast<uint32_t>(i));
      if (!convolution.possible()) continue;
      const int tile_pixels = choose<int>(&random, {8, 8, 8, 5, 4, 3, 1});
      const std::string wrong = convolution.check(*kernels, tile_pixels);
      if (!wrong.empty()) {
        std::printf(
            "%s, %dx%d of %d words to %d channels, filter %d, stride %d, dilation %d, "
            "%d groups, tiles of %d: %s\n",
            name, c.size, c.size, c.words, c.channels_out, c.filter, c.stride, c.dilation, c.groups,
            tile_pixels, wrong.c_str());
        return EXIT_FAILURE;
      }
      ++runs;
    }
  }
  std::printf("ok: %d convolutions\n", runs);
  return EXIT_SUCCESS;
}
