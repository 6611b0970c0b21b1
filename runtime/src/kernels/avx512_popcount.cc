// Binary convolution by population count, 512-bit AVX-512 with VPOPCNTDQ.
//
// A word of a pixel, 32 channels, is compared with the same word of 16 filters at once. Two
// registers make a block of 32:
//
//     weights   w0  w1  w2  ...  w15     32 channels of 16 filters, one filter per 32-bit lane
//     pixel     x   x   x   ...  x       the same word in all lanes
//     counts    s0  s1  s2  ...  s15     += popcount(x ^ w)
//
// That is three instructions for 512 multiply-adds: exclusive or, count, add. Two words a and b of
// differing bits can share one count, like in a chain of full adders. With a third word `ones` that
// is carried along, the bits of weight one,
//
//     ones + a + b  =  2 * carry + ones'     bit by bit, where  ones' = ones ^ a ^ b
//                                                               carry = majority(ones, a, b)
//
// only the carries are counted, and `ones` once, at the end. Computing a = x0 ^ w0 and b = x1 ^ w1
// would gain nothing: two instructions for those, two for the adder, then count and add. But ones'
// does not need them, because it is ones ^ (x0 ^ x1) ^ (w0 ^ w1), and both brackets can be
// prepared. Nor does the carry need b: if ones and a agree, they are the majority; if not, b is,
// and then b is the opposite of ones'. This makes five instructions for 1,024 multiply-adds:
//
//     a     = x0 ^ w0                       VPXORD      prepared: x0, x0 ^ x1 and w0, w0 ^ w1
//     ones' = ones ^ (x0 ^ x1) ^ (w0 ^ w1)  VPTERNLOGD  (PreparedFormat::kWordPairs)
//     carry = ones == a ? a : ~ones'        VPTERNLOGD
//     sums += popcount(carry)               VPOPCNTD, VPADDD
//
// Pixels of one word, 32 channels, have no pairs and take the three instructions.
#include <immintrin.h>

#include "kernels/nearest_codes.h"
#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

namespace s2bnn {
namespace {

struct Avx512Isa : IsaDefaults<Avx512Isa> {
  static constexpr int kBlock = 32;
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 2;
  using Floats = __m512;
  static uint32_t negative(__m512 x) {
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  }
};

// Truth tables of VPTERNLOG: bit (4 i + 2 j + k) is the result for operand bits i, j and k.
constexpr int kXor = 0x96;    // i ^ j ^ k
constexpr int kCarry = 0xd4;  // ones, a, ones': i == j ? j : !k

inline __m512i broadcast(const uint8_t* word) {
  int value;
  std::memcpy(&value, word, 4);
  return _mm512_set1_epi32(value);
}

// The running sums of one pixel and 16 channels, in two versions. A step takes `kUnits` words of
// the pixel and of each filter.
struct PairCounter {
  static constexpr int kUnits = 2;
  __m512i carries = _mm512_setzero_si512();
  __m512i ones = _mm512_setzero_si512();

  S2BNN_INLINE void count(const __m512i (&x)[2], const __m512i (&w)[2]) {
    const __m512i a = _mm512_xor_si512(x[0], w[0]);
    const __m512i next = _mm512_ternarylogic_epi32(ones, x[1], w[1], kXor);
    carries = _mm512_add_epi32(
        carries, _mm512_popcnt_epi32(_mm512_ternarylogic_epi32(ones, a, next, kCarry)));
    ones = next;
  }
  __m512i sum() const {
    return _mm512_add_epi32(_mm512_slli_epi32(carries, 1), _mm512_popcnt_epi32(ones));
  }
};

struct WordCounter {
  static constexpr int kUnits = 1;
  __m512i sums = _mm512_setzero_si512();

  S2BNN_INLINE void count(const __m512i (&x)[1], const __m512i (&w)[1]) {
    sums = _mm512_add_epi32(sums, _mm512_popcnt_epi32(_mm512_xor_si512(x[0], w[0])));
  }
  __m512i sum() const { return sums; }
};

template <class Counter, int P>
void accumulate_pixels(const ConvTile& tile, int first) {
  // Undilated taps lie next to each other: one run of pairs instead of filter_width short ones.
  constexpr int U = Counter::kUnits;
  const bool contiguous = tile.tap_step == 4 * static_cast<size_t>(tile.units);
  const int taps = contiguous ? 1 : tile.filter_width;
  const ptrdiff_t run =
      4 * static_cast<ptrdiff_t>(contiguous ? tile.units * tile.filter_width : tile.units);
  const uint8_t* weights = tile.weights;
  Counter counters[P][2];

  for (int fy = 0; fy < tile.filter_height; ++fy) {
    for (int fx = 0; fx < taps; ++fx) {
      const uint8_t* x[P];
      for (int p = 0; p < P; ++p) {
        x[p] = tile.pixels[first + p] + fy * tile.row_step + fx * tile.tap_step;
      }
      for (ptrdiff_t i = 0; i < run; i += 4 * U, weights += U * 128) {
        __m512i w[2][U];
        for (int u = 0; u < U; ++u) {
          w[0][u] = _mm512_loadu_si512(weights + u * 128);
          w[1][u] = _mm512_loadu_si512(weights + u * 128 + 64);
        }
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          __m512i words[U];
          for (int u = 0; u < U; ++u) words[u] = broadcast(x[p] + i + 4 * u);
          counters[p][0].count(words, w[0]);
          counters[p][1].count(words, w[1]);
        }
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    uint16_t* sums = tile.sums + (first + p) * Avx512Isa::kBlock;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm512_cvtepi32_epi16(counters[p][0].sum()));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 16),
                        _mm512_cvtepi32_epi16(counters[p][1].sum()));
  }
}

void accumulate(const ConvTile& tile, int pixels) {
  if (tile.units == 1 && pixels == 8) return accumulate_pixels<WordCounter, 8>(tile, 0);
  int first = 0;
  for (; first + 4 <= pixels && tile.units > 1; first += 4) {
    accumulate_pixels<PairCounter, 4>(tile, first);
  }
  for (; first < pixels; ++first) {
    if (tile.units == 1) {
      accumulate_pixels<WordCounter, 1>(tile, first);
    } else {
      accumulate_pixels<PairCounter, 1>(tile, first);
    }
  }
}

using Program = TileProgram<Avx512Isa>;
using Sources = TileSources<Avx512Isa>;

}  // namespace

const Kernels kAvx512PopcountKernels = {
    "avx512_vpopcntdq", Avx512Isa::kBlock, PreparedFormat::kWordPairs,
    accumulate,         Sources::convolve, Sources::pool,
    Program::run,       find_nearest,
};

}  // namespace s2bnn
