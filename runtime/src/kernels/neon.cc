// Binary convolution by population count, 128-bit NEON.
//
// CNT counts the bits of each byte. A byte of a pixel, 8 channels, is compared with the same 8
// channels of 16 filters at once:
//
//     weights   w0  w1  w2  ...  w15     a byte of 16 output channels; four vectors make a block of
//     64 pixel     x   x   x   ...  x       the same byte in all lanes (LD2R, for two steps) EOR,
//     CNT  d0  d1  d2  ...  d15     differing bits ADD       s0 += d0 ...             one byte
//     each; after 30 steps, 30 * 8 = 240, they move to 16 bits
//
// No lane is ever added to another, so a tile ends in the order in which it is stored. Four pixels
// by 64 channels take 16 registers of sums. Two steps, 4,096 multiply-adds, are 96 instructions, 8
// that load and 2 for the loop. They are written in assembly, volatile so that they stay in order:
// compilers move loads of later steps forward until the sums no longer fit into registers.
#include <arm_neon.h>

#include "kernels/nearest_codes.h"
#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

namespace s2bnn {
namespace {

constexpr int kBytesUntilOverflow = 30;  // even, because the main loop takes two
constexpr int kByteVectors = 4;          // of 16 channels

struct NeonIsa {
  static constexpr int kBlock = 16 * kByteVectors;
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 2;
  using Floats = float32x4_t;
  static uint32_t negative(float32x4_t x) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcltzq_f32(x), bit));
  }
};

// The sums of 16 channels, one byte each, for four neighboring pixels. They have names because
// compilers keep an array in memory.
struct FourPixels {
  uint8x16_t p0 = vdupq_n_u8(0), p1 = p0, p2 = p0, p3 = p0;

  // Adds the number of bits in which each pixel x and the filters w differ. It works in groups of
  // four, because processors that run in order wait for each result.
  S2BNN_INLINE void count(uint8x16_t x0, uint8x16_t x1, uint8x16_t x2, uint8x16_t x3,
                          uint8x16_t w) {
    uint8x16_t a, b, c, d;
    asm volatile(
        "eor %4.16b, %8.16b, %12.16b\n\t"
        "eor %5.16b, %9.16b, %12.16b\n\t"
        "eor %6.16b, %10.16b, %12.16b\n\t"
        "eor %7.16b, %11.16b, %12.16b\n\t"
        "cnt %4.16b, %4.16b\n\t"
        "cnt %5.16b, %5.16b\n\t"
        "cnt %6.16b, %6.16b\n\t"
        "cnt %7.16b, %7.16b\n\t"
        "add %0.16b, %0.16b, %4.16b\n\t"
        "add %1.16b, %1.16b, %5.16b\n\t"
        "add %2.16b, %2.16b, %6.16b\n\t"
        "add %3.16b, %3.16b, %7.16b"
        : "+w"(p0), "+w"(p1), "+w"(p2), "+w"(p3), "=&w"(a), "=&w"(b), "=&w"(c), "=&w"(d)
        : "w"(x0), "w"(x1), "w"(x2), "w"(x3), "w"(w));
  }

  // Moves the sums to 16 bits. Those of a pixel are kBlock behind those of the pixel before.
  void widen(uint16_t* sums) {
    widen(sums, &p0);
    widen(sums + NeonIsa::kBlock, &p1);
    widen(sums + 2 * NeonIsa::kBlock, &p2);
    widen(sums + 3 * NeonIsa::kBlock, &p3);
  }

  static void widen(uint16_t* sums, uint8x16_t* bytes) {
    vst1q_u16(sums, vaddw_u8(vld1q_u16(sums), vget_low_u8(*bytes)));
    vst1q_u16(sums + 8, vaddw_high_u8(vld1q_u16(sums + 8), *bytes));
    *bytes = vdupq_n_u8(0);
  }
};

// Counts four pixels, or fewer, against all taps of 64 filters. An absent pixel is computed as if
// it were the first one.
void accumulate_pixels(const ConvTile& tile, int first, int pixels) {
  uint16_t* sums = tile.sums + first * NeonIsa::kBlock;
  std::memset(sums, 0, 4 * NeonIsa::kBlock * sizeof(uint16_t));
  // Undilated taps lie next to each other: one run of bytes instead of filter_width short ones.
  const bool contiguous = tile.tap_step == static_cast<size_t>(tile.units);
  const int taps = contiguous ? 1 : tile.filter_width;
  const int length =
      contiguous ? tile.units * tile.filter_width : tile.units;  // even: a word has four bytes
  const uint8_t* weights = tile.weights;
  FourPixels v0, v1, v2, v3;  // channels 0-15, 16-31, 32-47, 48-63
  const auto count_byte = [&](uint8x16_t x0, uint8x16_t x1, uint8x16_t x2,
                              uint8x16_t x3) S2BNN_INLINE_LAMBDA {
    uint8x16_t w0, w1;
    asm volatile("ldp %q0, %q1, [%2], #32" : "=w"(w0), "=w"(w1), "+r"(weights) : : "memory");
    v0.count(x0, x1, x2, x3, w0);
    v1.count(x0, x1, x2, x3, w1);
    asm volatile("ldp %q0, %q1, [%2], #32" : "=w"(w0), "=w"(w1), "+r"(weights) : : "memory");
    v2.count(x0, x1, x2, x3, w0);
    v3.count(x0, x1, x2, x3, w1);
  };
  int until_overflow = kBytesUntilOverflow;

  for (int tap = 0; tap < tile.filter_height * taps; ++tap) {
    const size_t offset = tap / taps * tile.row_step + tap % taps * tile.tap_step;
    const uint8_t* const* pixel = tile.pixels + first;
    const uint8_t* x0 = pixel[0] + offset;
    const uint8_t* x1 = pixel[pixels > 1 ? 1 : 0] + offset;
    const uint8_t* x2 = pixel[pixels > 2 ? 2 : 0] + offset;
    const uint8_t* x3 = pixel[pixels > 3 ? 3 : 0] + offset;
    for (int left = length; left > 0;) {
      const int run = std::min(left, until_overflow);
      left -= run;
      until_overflow -= run;
      const uint8_t* end = x0 + run;
      do {
        // Two bytes of each pixel. LD2R needs two registers with consecutive numbers.
        register uint8x16_t a0 asm("v0"), b0 asm("v1"), a1 asm("v2"), b1 asm("v3");
        register uint8x16_t a2 asm("v4"), b2 asm("v5"), a3 asm("v6"), b3 asm("v7");
        asm volatile("ld2r {%0.16b, %1.16b}, [%2], #2" : "=w"(a0), "=w"(b0), "+r"(x0) : : "memory");
        asm volatile("ld2r {%0.16b, %1.16b}, [%2], #2" : "=w"(a1), "=w"(b1), "+r"(x1) : : "memory");
        asm volatile("ld2r {%0.16b, %1.16b}, [%2], #2" : "=w"(a2), "=w"(b2), "+r"(x2) : : "memory");
        asm volatile("ld2r {%0.16b, %1.16b}, [%2], #2" : "=w"(a3), "=w"(b3), "+r"(x3) : : "memory");
        count_byte(a0, a1, a2, a3);
        count_byte(b0, b1, b2, b3);
      } while (x0 != end);
      if (until_overflow > 0) continue;
      v0.widen(sums);
      v1.widen(sums + 16);
      v2.widen(sums + 32);
      v3.widen(sums + 48);
      until_overflow = kBytesUntilOverflow;
    }
  }
  v0.widen(sums);
  v1.widen(sums + 16);
  v2.widen(sums + 32);
  v3.widen(sums + 48);
}

void accumulate(const ConvTile& tile, int pixels) {
  for (int first = 0; first < pixels; first += 4) {
    accumulate_pixels(tile, first, std::min(pixels - first, 4));
  }
}

using Program = TileProgram<NeonIsa>;
using Sources = TileSources<NeonIsa>;

}  // namespace

const Kernels kNeonKernels = {
    "neon",        NeonIsa::kBlock, PreparedFormat::kBytes, accumulate, Sources::convolve,
    Sources::pool, Program::run,    find_nearest,
};

}  // namespace s2bnn
