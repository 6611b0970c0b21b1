// Binary convolution by population count, 128-bit NEON: see neon_bconv.h.
#include <arm_neon.h>

#include "kernels/nearest_codes.h"
#include "kernels/neon_bconv.h"
#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

namespace s2bnn {
namespace {

struct NeonIsa : IsaDefaults<NeonIsa> {
  static constexpr int kBlock = 64;
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 2;
  static constexpr bool kStoresSigns = true;
  using Floats = float32x4_t;

  static uint32_t negative(float32x4_t x) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcltzq_f32(x), bit));
  }

  // Widening and doubling are one instruction.
  template <class Integers>
  static S2BNN_INLINE void read_doubled(const uint16_t* sums, Integers (&doubled)[2]) {
    const uint16x8_t eight = vld1q_u16(sums);
    doubled[0] = Integers(vshll_n_u16(vget_low_u16(eight), 1));
    doubled[1] = Integers(vshll_high_n_u16(eight, 1));
  }

  // One byte of signs for each of eight pixels, with instructions that work on all of them.
  static S2BNN_INLINE void store_signs(const float32x4_t (&x)[8][2], uint8_t* bytes, size_t stride,
                                       size_t skip) {
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const auto pixel = [&](int p) S2BNN_INLINE_LAMBDA {  // all bits of a lane, or none
      return vreinterpretq_u8_u16(vuzp1q_u16(vreinterpretq_u16_u32(vcltzq_f32(x[p][0])),
                                             vreinterpretq_u16_u32(vcltzq_f32(x[p][1]))));
    };
    const auto pixels = [&](int p, int q) S2BNN_INLINE_LAMBDA {
      return vandq_u8(vuzp1q_u8(pixel(p), pixel(q)), bit);
    };
    const uint8x16_t two[] = {pixels(0, 1), pixels(2, 3), pixels(4, 5), pixels(6, 7)};
    const uint8x16_t halves = vpaddq_u8(vpaddq_u8(two[0], two[1]), vpaddq_u8(two[2], two[3]));
    const uint8x16_t signs = vpaddq_u8(halves, halves);
    vst1q_lane_u8(bytes, signs, 0);
    vst1q_lane_u8(bytes += stride, signs, 1);
    vst1q_lane_u8(bytes += stride, signs, 2);
    vst1q_lane_u8(bytes += stride, signs, 3);
    vst1q_lane_u8(bytes += stride + skip, signs, 4);
    vst1q_lane_u8(bytes += stride, signs, 5);
    vst1q_lane_u8(bytes += stride, signs, 6);
    vst1q_lane_u8(bytes += stride, signs, 7);
  }
};

// Counts all taps of some pixels, 4 or 8, against a block of filters. An absent pixel is computed
// as if it were the last one.
template <int P, class Count>
void accumulate_pixels(const ConvTile& tile, int first, int pixels, Count count) {
  const uint8_t* x[P];
  for (int p = 0; p < P; ++p) x[p] = tile.pixels[first + std::min(p, pixels - 1)];
  // Undilated taps lie next to each other: all are rows of bytes, instead of filter_width short
  // ones in each row.
  const size_t units = tile.units;
  const bool contiguous = tile.tap_step == units;
  const ByteRows rows = contiguous
                            ? ByteRows{tile.filter_height, units * tile.filter_width, tile.row_step}
                            : ByteRows{tile.filter_width, units, tile.tap_step};
  const uint8_t* weights = tile.weights;
  for (int row = 0; row < (contiguous ? 1 : tile.filter_height); ++row) {
    weights = count(x, rows, weights, tile.sums + first * NeonIsa::kBlock, row > 0);
    for (const uint8_t*& pixel : x) pixel += tile.row_step;
  }
}

void accumulate(const ConvTile& tile, int pixels) {
  if (tile.channels <= 32 && pixels > 4) {
    return accumulate_pixels<8>(tile, 0, pixels, count_8x32);
  }
  for (int first = 0; first < pixels; first += 4) {
    accumulate_pixels<4>(tile, first, std::min(pixels - first, 4), count_4x64);
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
