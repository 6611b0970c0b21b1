// Runs the binary convolutions of ReActNet-A once each, between markers that count_instructions.py
// looks for: first with our NEON kernel, then with one written in intrinsics in the obvious way.
#include <arm_neon.h>

#include <cstdio>

#include "convolution.h"

namespace {

using namespace s2bnn;

// Hints that no processor knows do nothing, but the plug-in looks for them.
inline void start() { asm volatile("hint #42" ::: "memory"); }
inline void stop() { asm volatile("hint #43" ::: "memory"); }

// Counts 4 filters by 2 pixels of 128 channels: exclusive or, count, add pairs of bytes to 16-bit
// sums.
void count_straight(const uint8_t* const* pixels, const uint8_t* const* filters, size_t vectors,
                    uint16_t* sums) {
  uint16x8_t s[4][2];
  for (auto& row : s) row[0] = row[1] = vdupq_n_u16(0);
  for (size_t i = 0; i < vectors; ++i) {
    const uint8x16_t x0 = vld1q_u8(pixels[0] + 16 * i), x1 = vld1q_u8(pixels[1] + 16 * i);
    for (int f = 0; f < 4; ++f) {
      const uint8x16_t w = vld1q_u8(filters[f] + 16 * i);
      s[f][0] = vpadalq_u8(s[f][0], vcntq_u8(veorq_u8(x0, w)));
      s[f][1] = vpadalq_u8(s[f][1], vcntq_u8(veorq_u8(x1, w)));
    }
  }
  for (int f = 0; f < 4; ++f) {
    for (int p = 0; p < 2; ++p) sums[2 * f + p] = static_cast<uint16_t>(vaddlvq_u16(s[f][p]));
  }
}

// Does the same amount of work as the layer, on input that is already gathered: here only the inner
// loop counts.
void run_straight(double macs, size_t vectors) {
  static std::vector<uint8_t> bits(1 << 20, 0x5a);
  const uint8_t *pixels[2], *filters[4];
  for (size_t i = 0; i < 2; ++i) pixels[i] = bits.data() + 16 * vectors * i;
  for (size_t i = 0; i < 4; ++i) filters[i] = bits.data() + 16 * vectors * (i + 2);
  uint16_t sums[8];
  const long tiles = static_cast<long>(macs / (8. * 128 * static_cast<double>(vectors)));
  for (long i = 0; i < tiles; ++i) {
    asm volatile("" : : "r"(pixels), "r"(filters) : "memory");
    count_straight(pixels, filters, vectors, sums);
    asm volatile("" : : "r"(sums) : "memory");
  }
}

}  // namespace

int main() {
  for (const Layer& layer : kLayers) {
    Convolution convolution(layer);
    convolution.prepare(select_kernels("neon"));
    start();
    convolution.run();
    stop();
    const size_t vectors =
        static_cast<size_t>(layer.filter * layer.filter) * layer.channels_in / 128;
    if (vectors > 0) {
      start();
      run_straight(convolution.macs(), vectors);
      stop();
    }
    std::printf(
        "{\"input\": [%d, %d, %d], \"channels_out\": %d, \"filter\": %d, \"stride\": %d, "
        "\"count\": %d, \"macs\": %.0f, \"straight\": %s}\n",
        layer.size, layer.size, layer.channels_in, layer.channels_out, layer.filter, layer.stride,
        layer.count, convolution.macs(), vectors > 0 ? "true" : "false");
  }
}
