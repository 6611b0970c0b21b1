// The forward pass of a binary convolution: signs of a float map, by signs of a kernel.
//
// A sign is a bit, set if the number is negative. The bits under a filter are gathered into words,
// filter rows and columns first and channels last, without gaps between them. A product is then the
// number of bits less twice the number of those that differ. Padding is +1 in the words and
// is taken out of the count, as zero padding demands.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "lanes.h"

namespace s2bnn {

struct ConvShape {
  int64_t batch, height, width, channels;
  int64_t filter_height, filter_width, filters;
  int64_t stride_y, stride_x, padding_top, padding_left;
  int64_t output_height, output_width;

  int64_t taps() const { return filter_height * filter_width; }
  int64_t pixel_words() const { return (channels + 63) / 64; }
  int64_t words() const { return (taps() * channels + 63) / 64; }
  int64_t rows() const { return batch * output_height; }
};

// Writes bit i of `words` for number i of input + bias. Returns false if one is not a number.
inline bool pack_signs(const float* input, const float* bias, int64_t channels, uint64_t* words) {
  bool numbers = true;
  for (int64_t first = 0; first < channels; first += 64, ++words) {
    const int64_t count = std::min<int64_t>(64, channels - first);
    uint64_t bits = 0;
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= count; i += 16) {
      const __m512 z =
          _mm512_add_ps(_mm512_loadu_ps(input + first + i), _mm512_loadu_ps(bias + first + i));
      const __m512 zero = _mm512_setzero_ps();
      bits |= static_cast<uint64_t>(_mm512_cmp_ps_mask(z, zero, _CMP_LT_OQ)) << i;
      numbers &= _mm512_cmp_ps_mask(z, z, _CMP_UNORD_Q) == 0;
    }
#elif defined(__AVX2__)
    for (; i + 8 <= count; i += 8) {
      const __m256 z =
          _mm256_add_ps(_mm256_loadu_ps(input + first + i), _mm256_loadu_ps(bias + first + i));
      const __m256 below = _mm256_cmp_ps(z, _mm256_setzero_ps(), _CMP_LT_OQ);
      bits |= static_cast<uint64_t>(_mm256_movemask_ps(below)) << i;
      numbers &= _mm256_movemask_ps(_mm256_cmp_ps(z, z, _CMP_UNORD_Q)) == 0;
    }
#endif
    for (; i < count; ++i) {
      const float z = input[first + i] + bias[first + i];
      bits |= static_cast<uint64_t>(z < 0) << i;
      numbers &= z == z;
    }
    *words = bits;
  }
  return numbers;
}

// Appends `count` bits to words that begin as zeros, and moves `position` behind them.
inline void append(const uint64_t* bits, int64_t count, uint64_t* words, int64_t* position) {
  for (; count > 0; ++bits, count -= 64) {
    const int64_t taken = std::min<int64_t>(64, count), shift = *position % 64;
    uint64_t* word = words + *position / 64;
    word[0] |= *bits << shift;
    if (shift + taken > 64) word[1] |= *bits >> (64 - shift);
    *position += taken;
  }
}

constexpr int kFilters = 2 * kWords;     // of a block: two registers
constexpr int kPixels = 4;               // of a tile
constexpr size_t kFirstCache = 1 << 14;  // bytes of it for weights

// A kernel (height, width, channels, filters) whose numbers differ only in sign within a filter.
class BinaryKernel {
 public:
  BinaryKernel(const ConvShape& shape, const float* kernel)
      : shape_(shape),
        blocks_((shape.filters + kFilters - 1) / kFilters),
        words_(blocks_ * shape.words() * kFilters),
        negative_(shape.taps() * blocks_ * kFilters),
        scale_(blocks_ * kFilters) {
    for (int64_t i = 0; i < shape.taps() * shape.channels; ++i) {
      uint64_t* words = words_.data() + i / 64 * kFilters;
      uint64_t* negative = negative_.data() + i / shape.channels * blocks_ * kFilters;
      const float* weights = kernel + i * shape.filters;
      for (int64_t f = 0; f < shape.filters; f += kFilters) {
        const int64_t filters = std::min<int64_t>(kFilters, shape.filters - f);
        for (int64_t k = 0; k < filters; ++k) {
          const uint64_t bit = weights[f + k] < 0;
          words[k] |= bit << i % 64;
          negative[f + k] += bit;
        }
        words += shape.words() * kFilters;
      }
    }
    for (int64_t f = 0; f < shape.filters; ++f) scale_[f] = std::fabs(kernel[f]);
  }

  int64_t blocks() const { return blocks_; }
  size_t bytes() const { return words_.size() * sizeof(uint64_t); }
  const float* scale(int64_t block) const { return scale_.data() + block * kFilters; }
  // How many weights of a tap are negative.
  const uint64_t* negative(int64_t tap, int64_t block) const {
    return negative_.data() + (tap * blocks_ + block) * kFilters;
  }

  // How many bits of each filter of a block differ from those of kPixels pixels.
  void count(const uint64_t* pixels, int64_t block, Words counts[kPixels][2]) const {
    const int64_t words = shape_.words();
    const uint64_t* weights = words_.data() + block * words * kFilters;
    Words totals[kPixels][2] = {};
    for (int64_t from = 0; from < words; from += kMostCounts) {
      Words sums[kPixels][2] = {};
      const int64_t until = std::min(words, from + kMostCounts);
      for (int64_t w = from; w < until; ++w, weights += kFilters) {
        const Words first = load_words(weights), second = load_words(weights + kWords);
        for (int p = 0; p < kPixels; ++p) {
          const uint64_t pixel = pixels[p * words + w];
          sums[p][0] += count_bits(first ^ pixel);
          sums[p][1] += count_bits(second ^ pixel);
        }
      }
      for (int p = 0; p < kPixels; ++p) {
        for (int half = 0; half < 2; ++half) totals[p][half] += total(sums[p][half]);
      }
    }
    std::memcpy(counts, totals, sizeof totals);
  }

 private:
  const ConvShape shape_;
  const int64_t blocks_;
  std::vector<uint64_t> words_;     // [block][word][filter of the block]
  std::vector<uint64_t> negative_;  // [tap][filter]
  std::vector<float> scale_;        // [filter]
};

// A row of the output, from the packed signs of the whole input, [pixel][word].
class ConvRow {
 public:
  ConvRow(const ConvShape& shape, const BinaryKernel& kernel, const uint64_t* signs, int64_t row)
      : shape_(shape),
        kernel_(kernel),
        image_(signs +
               row / shape.output_height * shape.height * shape.width * shape.pixel_words()),
        top_(row % shape.output_height * shape.stride_y - shape.padding_top),
        bits_((shape.output_width + kPixels) * shape.words()),
        products_(shape.output_width) {}

  void run(float* output) {
    const int64_t width = shape_.output_width;
    for (int64_t x = 0; x < width; ++x) gather(x);
    // Memory is written in its order where all weights stay in the first cache meanwhile.
    const int64_t step = kernel_.bytes() <= kFirstCache ? kPixels : width;
    for (int64_t from = 0; from < width; from += step) {
      for (int64_t block = 0; block < kernel_.blocks(); ++block) {
        for (int64_t x = from; x < std::min(width, from + step); x += kPixels) {
          write(x, block, output + x * shape_.filters + block * kFilters);
        }
      }
    }
  }

 private:
  int64_t left(int64_t x) const { return x * shape_.stride_x - shape_.padding_left; }
  bool on_map(int64_t y, int64_t x) const {
    return y >= 0 && y < shape_.height && x >= 0 && x < shape_.width;
  }

  // Gathers the bits under the filter of one output pixel, and counts those that are on the map.
  void gather(int64_t x) {
    uint64_t* words = bits_.data() + x * shape_.words();
    int64_t position = 0, products = 0;
    for (int64_t y = top_; y < top_ + shape_.filter_height; ++y) {
      for (int64_t from = left(x); from < left(x) + shape_.filter_width; ++from) {
        if (on_map(y, from)) {
          const uint64_t* pixel = image_ + (y * shape_.width + from) * shape_.pixel_words();
          append(pixel, shape_.channels, words, &position);
          products += shape_.channels;
        } else {
          position += shape_.channels;
        }
      }
    }
    products_[x] = static_cast<float>(products);
  }

  // Writes a block of filters of kPixels pixels, or of those that the row has.
  void write(int64_t x, int64_t block, float* output) const {
    Words counts[kPixels][2];
    kernel_.count(bits_.data() + x * shape_.words(), block, counts);
    typedef Lanes<kWords> Outputs;
    const auto first = Outputs::load(kernel_.scale(block));
    const auto second = Outputs::load(kernel_.scale(block) + kWords);
    const float all = static_cast<float>(shape_.taps() * shape_.channels);
    const int64_t pixels = std::min<int64_t>(kPixels, shape_.output_width - x);
    const int64_t filters = std::min<int64_t>(kFilters, shape_.filters - block * kFilters);
    for (int64_t p = 0; p < pixels; ++p, output += shape_.filters) {
      const float products = products_[x + p];
      if (products != all) leave_padding_out(x + p, block, counts[p]);
      const auto low = first * (products - 2 * to_floats(counts[p][0]));
      const auto high = second * (products - 2 * to_floats(counts[p][1]));
      if (filters == kFilters) {
        Outputs::store(low, output);
        Outputs::store(high, output + kWords);
      } else {
        for (int64_t f = 0; f < filters; ++f) output[f] = f < kWords ? low[f] : high[f - kWords];
      }
    }
  }

  void leave_padding_out(int64_t x, int64_t block, Words* counts) const {
    for (int64_t i = 0; i < shape_.taps(); ++i) {
      if (on_map(top_ + i / shape_.filter_width, left(x) + i % shape_.filter_width)) continue;
      counts[0] -= load_words(kernel_.negative(i, block));
      counts[1] -= load_words(kernel_.negative(i, block) + kWords);
    }
  }

  const ConvShape& shape_;
  const BinaryKernel& kernel_;
  const uint64_t* image_;
  const int64_t top_;
  std::vector<uint64_t> bits_;   // [output pixel][word], with room for a whole tile at the end
  std::vector<float> products_;  // of each output pixel, without those of padding
};

}  // namespace s2bnn
