// Binary convolution by table look-up, 256-bit AVX2.
//
// AVX2 has no population count. But for 4 channels of a pixel, a nibble x, there are only 16 possible filters w, so a row of 16
// bytes holds all answers: kDiffering[x][w] = bits in which x and w differ. VPSHUFB looks up 32 of them at once:
//
//     weights       w0  w1  w2  ...  w31     a nibble of 32 output channels, one a byte, from memory
//     row of x      kDiffering[x], in both 128-bit halves
//     VPSHUFB       d0  d1  d2  ...  d31     4 channels of 32 filters in one instruction: 128 multiply-adds
//     VPADDB        s0 += d0 ...             a byte each; after 63 steps, 63 * 4 = 252, they move to 16 bits
//
// The pixels are prepared as nibble * 16, the offset of the row in the table. Weights stay in a register for all pixels of a tile.
#include <immintrin.h>

#include "kernels/tile_ops.h"

namespace s2bnn {
namespace {

constexpr int kNibblesUntilOverflow = 63;

struct DifferingBits {
  alignas(64) uint8_t row[16][16];
  constexpr DifferingBits() : row() {
    for (int x = 0; x < 16; ++x) {
      for (int w = 0; w < 16; ++w) row[x][w] = static_cast<uint8_t>((x ^ w) % 2 + (x ^ w) / 2 % 2 + (x ^ w) / 4 % 2 + (x ^ w) / 8);
    }
  }
};
constexpr DifferingBits kDiffering;

struct Avx2Signs {
  static constexpr int kBlock = 32;
  static uint32_t negative(const float* x) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) {
      const __m256 below = _mm256_cmp_ps(_mm256_loadu_ps(x + 8 * i), _mm256_setzero_ps(), _CMP_LT_OQ);
      bits |= static_cast<uint32_t>(_mm256_movemask_ps(below)) << (8 * i);
    }
    return bits;
  }
};

// Adds 32 bytes a pixel to 32 16-bit sums a pixel and clears them.
template <int P>
void widen(__m256i (&bytes)[P], uint16_t* sums) {
  for (int p = 0; p < P; ++p) {
    __m256i* low = reinterpret_cast<__m256i*>(sums + 32 * p);
    __m256i* high = reinterpret_cast<__m256i*>(sums + 32 * p + 16);
    const __m256i low_bytes = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes[p]));
    const __m256i high_bytes = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes[p], 1));
    _mm256_storeu_si256(low, _mm256_add_epi16(_mm256_loadu_si256(low), low_bytes));
    _mm256_storeu_si256(high, _mm256_add_epi16(_mm256_loadu_si256(high), high_bytes));
    bytes[p] = _mm256_setzero_si256();
  }
}

template <int P>
void accumulate_pixels(const ConvTile& tile) {
  std::memset(tile.sums, 0, P * 32 * sizeof(uint16_t));
  // Undilated taps lie next to each other: one run of nibbles instead of filter_width short ones.
  const bool contiguous = tile.tap_step == static_cast<size_t>(tile.units);
  const int taps = contiguous ? 1 : tile.filter_width;
  const int nibbles = contiguous ? tile.units * tile.filter_width : tile.units;
  const uint8_t* table = kDiffering.row[0];
  const uint8_t* weights = tile.weights;
  __m256i bytes[P];
  for (int p = 0; p < P; ++p) bytes[p] = _mm256_setzero_si256();
  int until_overflow = kNibblesUntilOverflow;

  for (int fy = 0; fy < tile.filter_height; ++fy) {
    for (int fx = 0; fx < taps; ++fx) {
      const uint8_t* pixel = tile.rows[fy] + fx * tile.tap_step;
      for (int n = 0; n < nibbles;) {
        const int end = std::min(nibbles, n + until_overflow);
        until_overflow -= end - n;
        for (; n < end; ++n, weights += 32) {
          const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) {
            const uint8_t* row = table + pixel[p * tile.pixel_step + n];
            const __m256i differing = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(row)));
            bytes[p] = _mm256_add_epi8(bytes[p], _mm256_shuffle_epi8(differing, w));
          }
        }
        if (until_overflow > 0) continue;
        widen<P>(bytes, tile.sums);
        until_overflow = kNibblesUntilOverflow;
      }
    }
  }
  widen<P>(bytes, tile.sums);
}

void accumulate(const ConvTile& tile, int pixels) {
  switch (pixels) {
    case 1: return accumulate_pixels<1>(tile);
    case 2: return accumulate_pixels<2>(tile);
    case 3: return accumulate_pixels<3>(tile);
    case 4: return accumulate_pixels<4>(tile);
    case 5: return accumulate_pixels<5>(tile);
    case 6: return accumulate_pixels<6>(tile);
    case 7: return accumulate_pixels<7>(tile);
    case 8: return accumulate_pixels<8>(tile);
  }
}

using Ops = TileOps<Avx2Signs>;

}  // namespace

const Kernels kAvx2Kernels = {"avx2",     8,         Avx2Signs::kBlock, PreparedFormat::kNibbles, accumulate,
                              Ops::scale, Ops::load, Ops::pool,         Ops::run};

}  // namespace s2bnn
