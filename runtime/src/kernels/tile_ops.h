// Float work on tiles, written once and compiled for each instruction set: the loops run over whole blocks of channels, and the
// compiler turns them into vector code. A kernel file includes this and hands in its block size and the one operation that
// compilers do not vectorise, taking 32 signs.
//
// Everything is a static template of a type that is local to the kernel file: functions compiled for different instruction sets
// must not share a name, or the linker would keep only one of them.
//
// Built with -ffp-contract=off: a fused multiply-add rounds once where Larq Compute Engine rounds twice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/kernels.h"

namespace s2bnn {

// Signs: kBlock, and static uint32_t negative(const float* x): bit i set where x[i] < 0, i < 32.
template <class Signs>
struct TileOps {
  static constexpr int B = Signs::kBlock;
  static constexpr size_t kTile = kMaxTilePixels * B;

  static void scale(const ScaleParameters& s, const uint16_t* sums, int pixels, float* tile) {
    for (int p = 0; p < pixels; ++p) {
      const uint16_t* __restrict sum = sums + p * B;
      float* __restrict y = tile + p * B;
      if (s.threshold) {
        for (int c = 0; c < B; ++c) y[c] = s.bias[c] - static_cast<float>(sum[c]);
        continue;
      }
      const float* __restrict multiplier = s.multiplier;
      const float* __restrict bias = s.bias;
      for (int c = 0; c < B; ++c) {
        const int32_t doubled = std::max(std::min(int32_t{sum[c]} << 1, s.clamp_high), s.clamp_low);
        y[c] = static_cast<float>(doubled) * multiplier[c] + bias[c];
      }
      const float* __restrict correction = s.corrections[p];
      if (correction == nullptr) continue;
      for (int c = 0; c < B; ++c) y[c] += correction[c];
    }
  }

  // Calls body(pixel, channels) for each pixel, with a compile-time number of channels where the block is full.
  template <class Body>
  static void rows(const TilePosition& at, Body body) {
    if (at.channels == B) {
      for (int p = 0; p < at.pixels; ++p) body(p, std::integral_constant<int, B>{});
    } else {
      for (int p = 0; p < at.pixels; ++p) body(p, at.channels);
    }
  }

  template <class T>
  static T* address(const TileOp& op, const TilePosition& at, int pixel) {
    return static_cast<T*>(op.memory) + (at.pixel + pixel) * op.pixel_stride + op.channel_offset + at.channel;
  }

  static void load(const TileOp& op, const TilePosition& at, float* tile) {
    rows(at, [&](int p, auto channels) {
      const float* __restrict x = address<const float>(op, at, p);
      float* __restrict y = tile + p * B;
      for (int c = 0; c < channels; ++c) y[c] = x[c];
      for (int c = channels; c < B; ++c) y[c] = 0.f;
    });
  }

  static void pool(const PoolTile& t, const TilePosition& at, float* tile) {
    const Window& w = *t.window;
    for (int p = 0; p < at.pixels; ++p) {
      const int left = t.column + p * w.stride_width;
      const int y0 = std::max(t.row, 0), y1 = std::min(t.row + w.filter_height, t.height);
      const int x0 = std::max(left, 0), x1 = std::min(left + w.filter_width, t.width);
      float* __restrict out = tile + p * B;
      std::fill(out, out + B, t.average ? 0.f : -std::numeric_limits<float>::max());
      for (int y = y0; y < y1; ++y) {
        for (int x = x0; x < x1; ++x) {
          const float* __restrict in = t.input + (static_cast<size_t>(y) * t.width + x) * t.channels + at.channel;
          if (t.average) {
            for (int c = 0; c < at.channels; ++c) out[c] += in[c];
          } else {
            for (int c = 0; c < at.channels; ++c) out[c] = std::max(out[c], in[c]);
          }
        }
      }
      const float count = static_cast<float>((y1 - y0) * (x1 - x0));
      for (int c = 0; t.average && c < B; ++c) out[c] /= count;
    }
  }

  template <class Function>
  static void with_vector(const TileOp& op, const TilePosition& at, float* tiles, Function f) {
    const float* __restrict v = op.vector + at.channel;
    for (int p = 0; p < at.pixels; ++p) {
      const float* x = tiles + op.source * kTile + p * B;
      float* y = tiles + op.destination * kTile + p * B;
      for (int c = 0; c < B; ++c) y[c] = f(x[c], v[c]);
    }
  }

  template <class Function>
  static void with_tensor(const TileOp& op, const TilePosition& at, float* tiles, Function f) {
    rows(at, [&](int p, auto channels) {
      const float* __restrict v = address<const float>(op, at, p);
      const float* x = tiles + op.source * kTile + p * B;
      float* y = tiles + op.destination * kTile + p * B;
      for (int c = 0; c < channels; ++c) y[c] = f(x[c], v[c]);
    });
  }

  template <class Function>
  static void with_tile(const TileOp& op, const TilePosition& at, float* tiles, Function f) {
    const float* x = tiles + op.source * kTile;
    const float* v = tiles + op.other * kTile;
    float* y = tiles + op.destination * kTile;
    for (int i = 0; i < at.pixels * B; ++i) y[i] = f(x[i], v[i]);
  }

  static void clamp(const TileOp& op, const TilePosition& at, float* tiles) {
    const float* x = tiles + op.source * kTile;
    float* y = tiles + op.destination * kTile;
    for (int i = 0; i < at.pixels * B; ++i) y[i] = std::min(std::max(x[i], op.low), op.high);
  }

  static void store(const TileOp& op, const TilePosition& at, const float* tiles) {
    rows(at, [&](int p, auto channels) {
      const float* __restrict x = tiles + op.source * kTile + p * B;
      float* __restrict y = address<float>(op, at, p);
      for (int c = 0; c < channels; ++c) y[c] = x[c];
    });
  }

  static void store_int8(const TileOp& op, const TilePosition& at, const float* tiles) {
    rows(at, [&](int p, auto channels) {
      const float* __restrict x = tiles + op.source * kTile + p * B;
      int8_t* __restrict y = address<int8_t>(op, at, p);
      // Clamped while still a float: what does not fit into an int32 must not be converted.
      for (int c = 0; c < channels; ++c) y[c] = static_cast<int8_t>(std::min(std::max(std::round(x[c]), -128.f), 127.f));
    });
  }

  static void quantize(const TileOp& op, const TilePosition& at, const float* tiles) {
    for (int p = 0; p < at.pixels; ++p) {
      uint32_t* words = static_cast<uint32_t*>(op.memory) + (at.pixel + p) * op.pixel_stride + (op.channel_offset + at.channel) / 32;
      for (int first = 0; first < at.channels; first += 32) {
        const int present = std::min(at.channels - first, 32);
        const uint32_t mask = present == 32 ? ~uint32_t{0} : (uint32_t{1} << present) - 1;
        words[first / 32] = Signs::negative(tiles + op.source * kTile + p * B + first) & mask;
      }
    }
  }

  static void run(const TileOp* ops, size_t count, const TilePosition& at, float* tiles) {
    using Code = Instruction::Code;
    const auto add = [](float x, float v) { return x + v; };
    const auto subtract = [](float x, float v) { return x - v; };
    const auto multiply = [](float x, float v) { return x * v; };
    for (const TileOp* op = ops; op != ops + count; ++op) {
      switch (op->code) {
        case Code::kAddVector: with_vector(*op, at, tiles, add); break;
        case Code::kMulVector: with_vector(*op, at, tiles, multiply); break;
        case Code::kPrelu: with_vector(*op, at, tiles, [](float x, float v) { return x >= 0.f ? x : x * v; }); break;
        case Code::kClamp: clamp(*op, at, tiles); break;
        case Code::kAddTensor: with_tensor(*op, at, tiles, add); break;
        case Code::kSubTensor: with_tensor(*op, at, tiles, subtract); break;
        case Code::kSubFromTensor: with_tensor(*op, at, tiles, [](float x, float v) { return v - x; }); break;
        case Code::kMulTensor: with_tensor(*op, at, tiles, multiply); break;
        case Code::kAddTile: with_tile(*op, at, tiles, add); break;
        case Code::kSubTile: with_tile(*op, at, tiles, subtract); break;
        case Code::kMulTile: with_tile(*op, at, tiles, multiply); break;
        case Code::kStore: store(*op, at, tiles); break;
        case Code::kStoreInt8: store_int8(*op, at, tiles); break;
        case Code::kQuantize: quantize(*op, at, tiles); break;
      }
    }
  }
};

}  // namespace s2bnn
