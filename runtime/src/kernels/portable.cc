// Binary convolution in plain C++, for any processor: one 32-bit word of a pixel against the words
// of 32 output channels.
#include "kernels/nearest_codes.h"
#include "kernels/tile_program.h"
#include "kernels/tile_sources.h"

namespace s2bnn {
namespace {

// Counts bits by sums of neighbors, as in textbooks: unlike a population count instruction, this
// can be vectorized everywhere.
inline uint32_t count_bits(uint32_t x) {
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  x += x >> 8;
  return (x + (x >> 16)) & 0xffu;
}

struct PortableIsa : IsaDefaults<PortableIsa> {
  static constexpr int kBlock = 32;
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 2;
  typedef float Floats __attribute__((vector_size(4 * kLanes)));
  static uint32_t negative(Floats x) {
    uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= uint32_t{x[i] < 0.f} << i;
    return bits;
  }
};

void accumulate(const ConvTile& tile, int pixels) {
  constexpr int B = PortableIsa::kBlock;
  for (int p = 0; p < pixels; ++p) {
    uint32_t sums[B] = {};
    const uint8_t* weights = tile.weights;
    for (int fy = 0; fy < tile.filter_height; ++fy) {
      for (int fx = 0; fx < tile.filter_width; ++fx) {
        const uint8_t* pixel = tile.pixels[p] + fy * tile.row_step + fx * tile.tap_step;
        for (int u = 0; u < tile.units; ++u, weights += 4 * B) {
          uint32_t x, w[B];
          std::memcpy(&x, pixel + 4 * u, 4);
          std::memcpy(w, weights, sizeof(w));
          for (int c = 0; c < B; ++c) sums[c] += count_bits(x ^ w[c]);
        }
      }
    }
    for (int c = 0; c < B; ++c) tile.sums[p * B + c] = static_cast<uint16_t>(sums[c]);
  }
}

using Program = TileProgram<PortableIsa>;
using Sources = TileSources<PortableIsa>;

}  // namespace

const Kernels kPortableKernels = {
    "portable",        PortableIsa::kBlock, PreparedFormat::kWords, accumulate,
    Sources::convolve, Sources::pool,       Program::run,           find_nearest,
};

}  // namespace s2bnn
