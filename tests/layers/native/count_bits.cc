// Compares the convolution that counts bits with one that multiplies signs, over many shapes.
#include <cstdio>

#include "binary_conv.h"

using namespace s2bnn;

static uint32_t state = 1;

static uint32_t draw() {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

static float multiply(const ConvShape& s, const std::vector<float>& input,
                      const std::vector<float>& kernel, int64_t i) {
  const int64_t f = i % s.filters, x = i / s.filters % s.output_width;
  const int64_t y = i / s.filters / s.output_width % s.output_height;
  const int64_t image = i / s.filters / s.output_width / s.output_height;
  float sum = 0;
  for (int64_t tap = 0; tap < s.taps(); ++tap) {
    const int64_t from_y = y * s.stride_y - s.padding_top + tap / s.filter_width;
    const int64_t from_x = x * s.stride_x - s.padding_left + tap % s.filter_width;
    if (from_y < 0 || from_y >= s.height || from_x < 0 || from_x >= s.width) continue;
    const float* pixel = &input[((image * s.height + from_y) * s.width + from_x) * s.channels];
    const float* weights = &kernel[tap * s.channels * s.filters + f];
    for (int64_t c = 0; c < s.channels; ++c) sum += pixel[c] * weights[c * s.filters];
  }
  return sum;
}

// How many outputs of one shape are wrong.
static int compare(const ConvShape& s, uint32_t percent_negative) {
  std::vector<float> input(s.batch * s.height * s.width * s.channels), bias(s.channels);
  std::vector<float> kernel(s.taps() * s.channels * s.filters);
  for (float& x : input) x = draw() % 100 < percent_negative ? -1.0f : 1.0f;
  for (float& w : kernel) w = draw() % 10 ? 1.0f : -1.0f;
  std::vector<uint64_t> signs(s.batch * s.height * s.width * s.pixel_words());
  for (int64_t i = 0; i < s.batch * s.height * s.width; ++i) {
    pack_signs(&input[i * s.channels], bias.data(), s.channels, &signs[i * s.pixel_words()]);
  }
  const BinaryKernel packed(s, kernel.data());
  std::vector<float> output(s.rows() * s.output_width * s.filters, -1e9f);
  for (int64_t row = 0; row < s.rows(); ++row) {
    ConvRow(s, packed, signs.data(), row).run(&output[row * s.output_width * s.filters]);
  }
  int wrong = 0;
  for (size_t i = 0; i < output.size(); ++i) wrong += output[i] != multiply(s, input, kernel, i);
  return wrong;
}

int main() {
  int wrong = 0;
  for (int64_t channels : {1, 31, 64, 130, 700}) {
    for (int64_t filters : {1, 7, 8, 20, 33}) {
      for (int64_t size : {1, 3}) {
        for (int64_t stride : {1, 2}) {
          ConvShape s{2, 5, 6, channels, size, size, filters};
          s.stride_y = s.stride_x = stride;
          s.output_height = (5 + stride - 1) / stride;
          s.output_width = (6 + stride - 1) / stride;
          s.padding_top = s.padding_left = size / 2;
          // Where nearly all signs are negative, nearly all bits differ.
          for (uint32_t percent : {2, 50, 100}) wrong += compare(s, percent);
        }
      }
    }
  }
  std::printf("%d outputs are wrong\n", wrong);
  return wrong != 0;
}
