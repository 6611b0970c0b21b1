// Binary convolution by table look-up, 512-bit AVX-512BW: for processors that have no VPOPCNTDQ.
//
// As with AVX2 (avx2.cc draws the layout), but 64 filters in one register: for a nibble x of a pixel, 4 channels, row x of a table
// holds the number of bits in which x differs from each of the 16 possible nibbles of a filter.
//
//     weights       w0  w1  w2  ...  w63     a nibble of 64 output channels, one a byte, from memory
//     row of x      kDiffering[x], in all four 128-bit quarters
//     VPSHUFB       d0  d1  d2  ...  d63     4 channels of 64 filters in one instruction: 256 multiply-adds
//     VPADDB        s0 += d0 ...             a byte each; after 63 steps, 63 * 4 = 252, they move to 16 bits
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

struct Avx512Isa {
  static constexpr int kBlock = 64;
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 2;
  using Floats = __m512;
  static uint32_t negative(__m512 x) { return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ); }
};

// Adds 64 bytes to 64 16-bit sums and clears them.
inline void widen(__m512i* bytes, uint16_t* sums) {
  const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(*bytes));
  const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(*bytes, 1));
  _mm512_storeu_si512(sums, _mm512_add_epi16(_mm512_loadu_si512(sums), low));
  _mm512_storeu_si512(sums + 32, _mm512_add_epi16(_mm512_loadu_si512(sums + 32), high));
  *bytes = _mm512_setzero_si512();
}

template <int P>
void accumulate_pixels(const ConvTile& tile, int first) {
  uint16_t* sums = tile.sums + first * Avx512Isa::kBlock;
  std::memset(sums, 0, P * Avx512Isa::kBlock * sizeof(uint16_t));
  // Undilated taps lie next to each other: one run of nibbles instead of filter_width short ones.
  const bool contiguous = tile.tap_step == static_cast<size_t>(tile.units);
  const int taps = contiguous ? 1 : tile.filter_width;
  const int nibbles = contiguous ? tile.units * tile.filter_width : tile.units;
  const uint8_t* table = kDiffering.row[0];
  const uint8_t* weights = tile.weights;
  __m512i bytes[P];
  for (int p = 0; p < P; ++p) bytes[p] = _mm512_setzero_si512();
  int until_overflow = kNibblesUntilOverflow;

  for (int tap = 0; tap < tile.filter_height * taps; ++tap) {
    const uint8_t* x[P];
    for (int p = 0; p < P; ++p) x[p] = tile.pixels[first + p] + tap / taps * tile.row_step + tap % taps * tile.tap_step;
    for (int n = 0; n < nibbles;) {
      const int end = std::min(nibbles, n + until_overflow);
      until_overflow -= end - n;
      for (; n < end; ++n, weights += Avx512Isa::kBlock) {
        const __m512i w = _mm512_loadu_si512(weights);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          const __m128i row = _mm_load_si128(reinterpret_cast<const __m128i*>(table + x[p][n]));
          bytes[p] = _mm512_add_epi8(bytes[p], _mm512_shuffle_epi8(_mm512_broadcast_i32x4(row), w));
        }
      }
      if (until_overflow > 0) continue;
      for (int p = 0; p < P; ++p) widen(&bytes[p], sums + p * Avx512Isa::kBlock);
      until_overflow = kNibblesUntilOverflow;
    }
  }
  for (int p = 0; p < P; ++p) widen(&bytes[p], sums + p * Avx512Isa::kBlock);
}

void accumulate(const ConvTile& tile, int pixels) {
  if (pixels == 8) return accumulate_pixels<8>(tile, 0);
  for (int p = 0; p < pixels; ++p) accumulate_pixels<1>(tile, p);
}

using Program = TileProgram<Avx512Isa>;
using Sources = TileSources<Avx512Isa>;

}  // namespace

const Kernels kAvx512Kernels = {"avx512", Avx512Isa::kBlock, PreparedFormat::kNibbles, accumulate,
                                Sources::convolve, Sources::pool, Program::run};

}  // namespace s2bnn
