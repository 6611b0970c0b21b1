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
// The pixels are prepared as nibble * 16, the offset of the row in the table. Two registers of weights make a block of 64, for
// which a row is loaded once; they serve four pixels.
#include <immintrin.h>

#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

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

struct Avx2Isa {
  static constexpr int kBlock = 64;
  static constexpr int kLanes = 8;
  static constexpr int kVectors = 1;
  using Floats = __m256;
  static uint32_t negative(__m256 x) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ)));
  }
};

// Adds 32 bytes to 32 16-bit sums and clears them.
inline void widen(__m256i* bytes, uint16_t* sums) {
  __m256i* low = reinterpret_cast<__m256i*>(sums);
  __m256i* high = reinterpret_cast<__m256i*>(sums + 16);
  const __m256i low_bytes = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(*bytes));
  const __m256i high_bytes = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(*bytes, 1));
  _mm256_storeu_si256(low, _mm256_add_epi16(_mm256_loadu_si256(low), low_bytes));
  _mm256_storeu_si256(high, _mm256_add_epi16(_mm256_loadu_si256(high), high_bytes));
  *bytes = _mm256_setzero_si256();
}

template <int P>
void accumulate_pixels(const ConvTile& tile, int first) {
  uint16_t* sums = tile.sums + first * Avx2Isa::kBlock;
  std::memset(sums, 0, P * Avx2Isa::kBlock * sizeof(uint16_t));
  // Undilated taps lie next to each other: one run of nibbles instead of filter_width short ones.
  const bool contiguous = tile.tap_step == static_cast<size_t>(tile.units);
  const int taps = contiguous ? 1 : tile.filter_width;
  const int nibbles = contiguous ? tile.units * tile.filter_width : tile.units;
  const uint8_t* table = kDiffering.row[0];
  const uint8_t* weights = tile.weights;
  __m256i bytes[P][2];
  for (int p = 0; p < P; ++p) bytes[p][0] = bytes[p][1] = _mm256_setzero_si256();
  const auto widen_all = [&] {
    for (int p = 0; p < P; ++p) {
      widen(&bytes[p][0], sums + p * Avx2Isa::kBlock);
      widen(&bytes[p][1], sums + p * Avx2Isa::kBlock + 32);
    }
  };
  int until_overflow = kNibblesUntilOverflow;

  for (int tap = 0; tap < tile.filter_height * taps; ++tap) {
    const uint8_t* x[P];
    for (int p = 0; p < P; ++p) x[p] = tile.pixels[first + p] + tap / taps * tile.row_step + tap % taps * tile.tap_step;
    for (int n = 0; n < nibbles;) {
      const int end = std::min(nibbles, n + until_overflow);
      until_overflow -= end - n;
      for (; n < end; ++n, weights += Avx2Isa::kBlock) {
        const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
        const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 32));
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) {
          const __m128i row = _mm_load_si128(reinterpret_cast<const __m128i*>(table + x[p][n]));
          const __m256i differing = _mm256_broadcastsi128_si256(row);
          bytes[p][0] = _mm256_add_epi8(bytes[p][0], _mm256_shuffle_epi8(differing, w0));
          bytes[p][1] = _mm256_add_epi8(bytes[p][1], _mm256_shuffle_epi8(differing, w1));
        }
      }
      if (until_overflow > 0) continue;
      widen_all();
      until_overflow = kNibblesUntilOverflow;
    }
  }
  widen_all();
}

void accumulate(const ConvTile& tile, int pixels) {
  int first = 0;
  for (; first + 4 <= pixels; first += 4) accumulate_pixels<4>(tile, first);
  for (; first < pixels; ++first) accumulate_pixels<1>(tile, first);
}

using Program = TileProgram<Avx2Isa>;
using Sources = TileSources<Avx2Isa>;

}  // namespace

const Kernels kAvx2Kernels = {"avx2", Avx2Isa::kBlock, PreparedFormat::kNibbles, accumulate,
                              Sources::convolve, Sources::pool, Program::run};

}  // namespace s2bnn
