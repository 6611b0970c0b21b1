// Binary convolution by table look-up, for instruction sets that cannot count the bits of a word
// but can look up 16 bytes at once.
//
// For 4 channels of a pixel, a nibble x, there are only 16 possible filters w, so a row of 16 bytes
// holds all answers: kDiffering[x][w] is the number of bits in which x and w differ. In a register
// of B bytes:
//
//     weights       w0  w1  w2  ...      a nibble of each of B output channels, from memory
//     row of x      kDiffering[x], in every 16 bytes
//     look up       d0  d1  d2  ...      4 channels of B filters in one instruction: 4 B
//     multiply-adds add           s0 += d0 ...         one byte each; after 63 steps, 63 * 4 = 252,
//     they move to 16 bits
//
// The pixels are prepared as nibble * 16, the offset of the row in the table
// (PreparedFormat::kNibbles).
#pragma once

#include <algorithm>
#include <cstring>

#include "base/aligned.h"
#include "kernels/kernels.h"

namespace s2bnn {

struct DifferingBits {
  alignas(kCacheLine) uint8_t row[16][16];
  constexpr DifferingBits() : row() {
    for (int x = 0; x < 16; ++x) {
      for (int w = 0; w < 16; ++w) {
        const int bits = x ^ w;
        row[x][w] = static_cast<uint8_t>(bits % 2 + bits / 2 % 2 + bits / 4 % 2 + bits / 8);
      }
    }
  }
};
inline constexpr DifferingBits kDiffering;

// An Isa has kBlock; Bytes, a register; zero(); load(weights); spread(row), which copies 16 bytes
// to every 16; look_up(row, indices); add(a, b); and widen(bytes, sums), which adds each byte to
// its 16-bit sum and clears it.
template <class Isa>
struct LookupBconv {
  using Bytes = typename Isa::Bytes;
  static constexpr int kBlock = Isa::kBlock;
  static constexpr int kRegisters = kBlock / sizeof(Bytes);  // in a block
  static constexpr int kNibblesUntilOverflow = 63;

  // Counts P pixels and the filters of R registers, for all of which a row is loaded once.
  template <int P, int R = kRegisters>
  static void accumulate_pixels(const ConvTile& tile, int first) {
    uint16_t* sums = tile.sums + first * kBlock;
    std::memset(sums, 0, P * kBlock * sizeof(uint16_t));
    // Undilated taps lie next to each other: one run of nibbles instead of filter_width short ones.
    const bool contiguous = tile.tap_step == static_cast<size_t>(tile.units);
    const int taps = contiguous ? 1 : tile.filter_width;
    const int nibbles = contiguous ? tile.units * tile.filter_width : tile.units;
    const uint8_t* table = kDiffering.row[0];
    const uint8_t* weights = tile.weights;
    Bytes bytes[P][R];
    for (int p = 0; p < P; ++p) {
      for (int r = 0; r < R; ++r) bytes[p][r] = Isa::zero();
    }
    const auto widen_all = [&] {
      for (int p = 0; p < P; ++p) {
        for (int r = 0; r < R; ++r) {
          Isa::widen(&bytes[p][r], sums + p * kBlock + r * sizeof(Bytes));
        }
      }
    };
    int until_overflow = kNibblesUntilOverflow;

    for (int tap = 0; tap < tile.filter_height * taps; ++tap) {
      const uint8_t* x[P];
      for (int p = 0; p < P; ++p) {
        x[p] = tile.pixels[first + p] + tap / taps * tile.row_step + tap % taps * tile.tap_step;
      }
      for (int n = 0; n < nibbles;) {
        const int end = std::min(nibbles, n + until_overflow);
        until_overflow -= end - n;
        for (; n < end; ++n, weights += kBlock) {
          Bytes w[R];
          for (int r = 0; r < R; ++r) w[r] = Isa::load(weights + r * sizeof(Bytes));
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) {
            const Bytes row = Isa::spread(table + x[p][n]);
            for (int r = 0; r < R; ++r) {
              bytes[p][r] = Isa::add(bytes[p][r], Isa::look_up(row, w[r]));
            }
          }
        }
        if (until_overflow > 0) continue;
        widen_all();
        until_overflow = kNibblesUntilOverflow;
      }
    }
    widen_all();
  }
};

}  // namespace s2bnn
