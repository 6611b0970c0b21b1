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
    for (int c = 0; c < t.channels; c += kGroup) {
      Floats y[kMaxTilePixels][V];
      for (auto& pixel : y) {
        for (int v = 0; v < V; ++v) pixel[v] = Vectors::template read<Floats>(t.bias + c + v * L);
      }
      const float* weights = t.weights + c;
      for (int row = 0; row < t.rows; ++row) {
        const float* pixels[kMaxTilePixels];
        for (int p = 0; p < kMaxTilePixels; ++p) pixels[p] = t.pixels[p] + row * t.row_step;
        for (int i = 0; i < t.row_length; ++i, weights += B) add_product(y, pixels, i, weights);
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
      PoolWindow window;
      const int y0 = std::max(top, 0), x0 = std::max(left, 0);
      window.rows = std::min(top + w.filter_height, in.height) - y0;
      window.columns = std::min(left + w.filter_width, in.width) - x0;
      window.channels = in.channels;
      window.row_step = static_cast<size_t>(in.width) * in.channels;
      window.first =
          in.data +
          (static_cast<size_t>(row / in.output_height) * in.height + y0) * window.row_step +
          static_cast<size_t>(x0) * in.channels + at.channel;
      if (in.average) {
        pool_pixel<true>(window, at.channels, pooled + p * B);
      } else {
        pool_pixel<false>(window, at.channels, pooled + p * B);
      }
    }
  }

 private:
  static constexpr int kSideBySide = 4;  // registers of one pooled pixel

  // The part of a pooling's window that lies in the image.
  struct PoolWindow {
    const float* first;
    int rows, columns, channels;
    size_t row_step;
  };

  // Adds the products of input i for each pixel and channel.
  static S2BNN_INLINE void add_product(Floats (&y)[kMaxTilePixels][V],
                                       const float* const (&pixels)[kMaxTilePixels], int i,
                                       const float* weights) {
    Floats w[V];
    for (int v = 0; v < V; ++v) w[v] = Vectors::template read<Floats>(weights + v * L);
#pragma GCC unroll 8
    for (int p = 0; p < kMaxTilePixels; ++p) {
      const Floats x = pixels[p][i] - Floats{};  // in all lanes; adding to zero would change -0
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) y[p][v] += x * w[v];
    }
  }

  template <bool kAverage>
  static void pool_pixel(const PoolWindow& window, int channels, float* pooled) {
    int c = 0;
    for (; c + kSideBySide * L <= channels; c += kSideBySide * L) {
      pool_channels<kAverage, kSideBySide, true>(window, c, kSideBySide * L, pooled);
    }
    for (; c + L <= channels; c += L) pool_channels<kAverage, 1, true>(window, c, L, pooled);
    if (c < channels) pool_channels<kAverage, 1, false>(window, c, channels - c, pooled);
  }

  template <bool kAverage, int N, bool kWhole>
  static S2BNN_INLINE void pool_channels(const PoolWindow& window, int channel, int channels,
                                         float* pooled) {
    Floats y[N];
    for (Floats& value : y)
      value = Floats{} + (kAverage ? 0.f : -std::numeric_limits<float>::max());
    for (int row = 0; row < window.rows; ++row) {
      const float* x = window.first + row * window.row_step + channel;
      for (int column = 0; column < window.columns; ++column, x += window.channels) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          const Floats value = kWhole ? Vectors::template read<Floats>(x + n * L)
                                      : Vectors::read_part(x, channels * sizeof(float));
          y[n] = kAverage ? y[n] + value : y[n] < value ? value : y[n];
        }
      }
    }
    for (int n = 0; n < N; ++n) {
      if (kAverage) y[n] = divided(y[n], window.rows * window.columns);
      std::memcpy(pooled + channel + n * L, &y[n], sizeof(Floats));
    }
  }

  // Division is slow. For a power of two, a product gives exactly the same result.
  static Floats divided(Floats x, int by) {
    const float divisor = static_cast<float>(by);
    return (by & (by - 1)) == 0 ? x * (1.f / divisor) : x / divisor;
  }
};

}  // namespace s2bnn
