// Binary convolution by table look-up with VPSHUFB, 512-bit AVX-512BW, for processors without
// VPOPCNTDQ. Two registers of weights make a block of 128 channels, which serves four pixels. Where
// a block has only 64, one register serves eight.
#include <immintrin.h>

#include "kernels/lookup_bconv.h"
#include "kernels/nearest_codes.h"
#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

namespace s2bnn {
namespace {

struct Avx512Isa : IsaDefaults<Avx512Isa> {
  static constexpr int kBlock = 128;
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 2;
  using Floats = __m512;
  static uint32_t negative(__m512 x) {
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  }

  using Bytes = __m512i;
  static Bytes zero() { return _mm512_setzero_si512(); }
  static Bytes load(const uint8_t* weights) { return _mm512_loadu_si512(weights); }
  static Bytes spread(const uint8_t* row) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(row)));
  }
  static Bytes look_up(Bytes row, Bytes indices) { return _mm512_shuffle_epi8(row, indices); }
  static Bytes add(Bytes a, Bytes b) { return _mm512_add_epi8(a, b); }
  static void widen(Bytes* bytes, uint16_t* sums) {
    const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(*bytes));
    const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(*bytes, 1));
    _mm512_storeu_si512(sums, _mm512_add_epi16(_mm512_loadu_si512(sums), low));
    _mm512_storeu_si512(sums + 32, _mm512_add_epi16(_mm512_loadu_si512(sums + 32), high));
    *bytes = zero();
  }
};

void accumulate(const ConvTile& tile, int pixels) {
  using Bconv = LookupBconv<Avx512Isa>;
  const bool one_register = tile.channels <= 64;
  if (one_register && pixels == 8) return Bconv::accumulate_pixels<8, 1>(tile, 0);
  int first = 0;
  for (; first + 4 <= pixels; first += 4) Bconv::accumulate_pixels<4>(tile, first);
  for (; first < pixels; ++first) Bconv::accumulate_pixels<1>(tile, first);
}

using Program = TileProgram<Avx512Isa>;
using Sources = TileSources<Avx512Isa>;

}  // namespace

const Kernels kAvx512Kernels = {
    "avx512",     Avx512Isa::kBlock, PreparedFormat::kNibbles,
    accumulate,   Sources::convolve, Sources::pool,
    Program::run, find_nearest,
};

}  // namespace s2bnn
