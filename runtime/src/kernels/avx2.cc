// Binary convolution by table look-up with VPSHUFB, 256-bit AVX2. Two registers of weights make a
// block of 64 channels, which serves four pixels.
#include <immintrin.h>

#include "kernels/lookup_bconv.h"
#include "kernels/nearest_codes.h"
#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

namespace s2bnn {
namespace {

struct Avx2Isa : IsaDefaults<Avx2Isa> {
  static constexpr int kBlock = 64;
  static constexpr int kLanes = 8;
  static constexpr int kVectors = 1;
  using Floats = __m256;
  static uint32_t negative(__m256 x) {
    return static_cast<uint32_t>(
        _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ)));
  }

  using Bytes = __m256i;
  static Bytes zero() { return _mm256_setzero_si256(); }
  static Bytes load(const uint8_t* weights) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
  }
  static Bytes spread(const uint8_t* row) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(row)));
  }
  static Bytes look_up(Bytes row, Bytes indices) { return _mm256_shuffle_epi8(row, indices); }
  static Bytes add(Bytes a, Bytes b) { return _mm256_add_epi8(a, b); }
  static void widen(Bytes* bytes, uint16_t* sums) {
    __m256i* low = reinterpret_cast<__m256i*>(sums);
    __m256i* high = reinterpret_cast<__m256i*>(sums + 16);
    const __m256i low_bytes = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(*bytes));
    const __m256i high_bytes = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(*bytes, 1));
    _mm256_storeu_si256(low, _mm256_add_epi16(_mm256_loadu_si256(low), low_bytes));
    _mm256_storeu_si256(high, _mm256_add_epi16(_mm256_loadu_si256(high), high_bytes));
    *bytes = zero();
  }
};

void accumulate(const ConvTile& tile, int pixels) {
  using Bconv = LookupBconv<Avx2Isa>;
  int first = 0;
  for (; first + 4 <= pixels; first += 4) Bconv::accumulate_pixels<4>(tile, first);
  for (; first < pixels; ++first) Bconv::accumulate_pixels<1>(tile, first);
}

using Program = TileProgram<Avx2Isa>;
using Sources = TileSources<Avx2Isa>;

}  // namespace

const Kernels kAvx2Kernels = {
    "avx2",       Avx2Isa::kBlock,   PreparedFormat::kNibbles,
    accumulate,   Sources::convolve, Sources::pool,
    Program::run, find_nearest,
};

}  // namespace s2bnn
