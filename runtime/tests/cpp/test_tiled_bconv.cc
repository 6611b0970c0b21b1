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
#include "one_bconv.h"

namespace {

using namespace s2bnn;

class Convolution {
 public:
  Convolution(const BconvShape& shape, uint32_t seed) : bconv_(shape, seed) {
    // All bits of some filters and pixels differ, for the largest sums.
    std::vector<uint32_t>&input = bconv_.input, &filter = bconv_.filter;
    std::fill(input.begin(), input.begin() + static_cast<long>(input.size() / 3), 0u);
    std::fill(filter.begin(), filter.begin() + static_cast<long>(filter.size() / 3), ~0u);
  }

  bool possible() const {
    return bconv_.axis.output > 0 && TiledBconv::covers(bconv_.op, bconv_.partition);
  }

  // The number of bits that differ, counted one by one.
  int expected(size_t pixel, int channel) const {
    const BconvShape& s = bconv_.shape;
    const int output = bconv_.axis.output, padding = bconv_.axis.padding;
    const int y = static_cast<int>(pixel) / output, x = static_cast<int>(pixel) % output;
    const int words = s.words / s.groups;
    const int group = channel / (s.channels_out / s.groups);
    int sum = 0;
    for (int fy = 0; fy < s.filter; ++fy) {
      for (int fx = 0; fx < s.filter; ++fx) {
        const int iy = y * s.stride - padding + fy * s.dilation;
        const int ix = x * s.stride - padding + fx * s.dilation;
        const bool inside = iy >= 0 && iy < s.size && ix >= 0 && ix < s.size;
        for (int w = 0; w < words; ++w) {
          const uint32_t bits =
              inside ? bconv_.input[(iy * s.size + ix) * s.words + group * words + w] : 0;
          const size_t tap = (channel * s.filter + fy) * s.filter + fx;
          sum += __builtin_popcount(bits ^ bconv_.filter[tap * words + w]);
        }
      }
    }
    return sum;
  }

  // The first sum that is wrong, as a sentence; an empty one if there is none.
  std::string check(const Kernels& kernels, int tile_pixels) const {
    TiledBconv bconv(bconv_.op, bconv_.partition, kernels);
    bconv.prepare_rows(bconv_.input.data(), 0, bconv_.shape.size);
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
  OneBconv bconv_;
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
      BconvShape c;
      c.size = choose<int>(&random, {1, 3, 4, 6, 9});
      c.words = choose<int>(&random, {1, 1, 2, 3, 4, 8});
      c.filter = choose<int>(&random, {1, 2, 3, 3, 5});
      c.stride = choose<int>(&random, {1, 1, 2, 3});
      c.dilation = choose<int>(&random, {1, 1, 2});
      c.groups = c.words % 2 == 0 ? choose<int>(&random, {1, 1, 2}) : 1;
      c.channels_out = c.groups * choose<int>(&random, {32, 32, 64, 96, 128});
      if (c.groups == 1 && i % 5 == 0) c.channels_out = choose<int>(&random, {1, 7, 33, 65});
      c.same_padding = random() % 2 == 0;
      c.pad_value = 1;
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
