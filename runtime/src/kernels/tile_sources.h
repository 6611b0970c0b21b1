// The makers of a float tile before its program (tile_program.h) runs: a float convolution or a
// pooling. Written once and compiled for each instruction set.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/tile_vectors.h"

namespace s2bnn {

template <class Isa>
struct TileSources {
  using Vectors = TileVectors<Isa>;
  using Floats = typename Vectors::Floats;
  static constexpr int B = Vectors::B, L = Vectors::L, V = Vectors::V, kGroup = Vectors::kGroup;

  static void convolve(const FloatConvTile& t) {
    for (int c = 0; c < B; c += kGroup) {
      Floats y[kMaxTilePixels][V];
      for (auto& pixel : y) {
        for (int v = 0; v < V; ++v) pixel[v] = Vectors::template read<Floats>(t.bias + c + v * L);
      }
      const float* weights = t.weights + c;
      for (int row = 0; row < t.rows; ++row) {
        const float* pixels[kMaxTilePixels];
        for (int p = 0; p < kMaxTilePixels; ++p) pixels[p] = t.pixels[p] + row * t.row_step;
        for (int i = 0; i < t.row_length; ++i, weights += B) {
          Floats w[V];
          for (int v = 0; v < V; ++v) w[v] = Vectors::template read<Floats>(weights + v * L);
#pragma GCC unroll 8
          for (int p = 0; p < kMaxTilePixels; ++p) {
            const Floats x =
                pixels[p][i] - Floats{};  // in all lanes; adding to zero would change -0
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) y[p][v] += x * w[v];
          }
        }
      }
      for (int p = 0; p < kMaxTilePixels; ++p) std::memcpy(t.tile + p * B + c, y[p], sizeof(y[p]));
    }
  }

  static void pool(const PoolInput& in, const TilePosition& at, float* pooled) {
    const Window& w = *in.window;
    for (int p = 0; p < at.pixels; ++p) {
      const uint32_t pixel = static_cast<uint32_t>(at.pixel) + p;
      const uint32_t row = pixel / in.output_width;
      const int top = static_cast<int>(row % in.output_height) * w.stride_height - in.padding_top;
      const int left = static_cast<int>(pixel % in.output_width) * w.stride_width - in.padding_left;
      const int y0 = std::max(top, 0), y1 = std::min(top + w.filter_height, in.height);
      const int x0 = std::max(left, 0), x1 = std::min(left + w.filter_width, in.width);
      const float* image = in.data + static_cast<size_t>(row / in.output_height) * in.height *
                                         in.width * in.channels;
      for (int c = 0; c < at.channels; c += L) {
        const size_t bytes = std::min(at.channels - c, L) * sizeof(float);
        Floats y = Floats{} + (in.average ? 0.f : -std::numeric_limits<float>::max());
        for (int iy = y0; iy < y1; ++iy) {
          const float* x =
              image + (static_cast<size_t>(iy) * in.width + x0) * in.channels + at.channel + c;
          for (int ix = x0; ix < x1; ++ix, x += in.channels) {
            const Floats value = bytes == sizeof(Floats) ? Vectors::template read<Floats>(x)
                                                         : Vectors::read_part(x, bytes);
            y = in.average ? y + value : y < value ? value : y;
          }
        }
        if (in.average) y = divided(y, (y1 - y0) * (x1 - x0));
        std::memcpy(pooled + p * B + c, &y, sizeof(y));
      }
    }
  }

 private:
  // Division is slow. For a power of two, a product gives exactly the same result.
  static Floats divided(Floats x, int by) {
    const float divisor = static_cast<float>(by);
    return (by & (by - 1)) == 0 ? x * (1.f / divisor) : x / divisor;
  }
};

}  // namespace s2bnn
