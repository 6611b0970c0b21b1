// The float work on a tile, written once and compiled for each instruction set.
//
// A program is a list of operations on one value x. It runs on one group at a time: 8 pixels by
// kLanes * kVectors channels, which stay in vector registers from the first operation to the last,
// so that only operands touch memory:
//
//     x = sums * multiplier + bias;  x += shortcut;  x = prelu(x);  store x;
//     x += threshold;  store signs of x
//
// If there are fewer than 8 pixels, or channels that do not fill the registers, it runs pixel by
// pixel.
//
// A kernel file includes this header and passes in the shape of its registers and the one operation
// that cannot be written in plain C++, taking signs. Everything is a static template on a type that
// is local to the kernel file: functions compiled for different instruction sets must not share a
// name, or the linker would keep only one of them.
//
// Built with -ffp-contract=off, because a fused multiply-add rounds once where Larq Compute Engine
// rounds twice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/logistic.h"
#include "kernels/scaling.h"
#include "kernels/tile_vectors.h"

namespace s2bnn {

// A program's first operation makes x, which GCC cannot know.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

template <class Isa>
struct TileProgram {
  using Vectors = TileVectors<Isa>;
  using Floats = typename Vectors::Floats;
  static constexpr int B = Vectors::B, L = Vectors::L, V = Vectors::V, kGroup = Vectors::kGroup;
  static_assert(kGroup % 8 == 0 && 32 % kGroup == 0, "a group's signs are whole bytes of one word");
  typedef int32_t Integers __attribute__((vector_size(4 * L)));
  typedef uint16_t Sums __attribute__((vector_size(2 * L)));

  static void run(const TileOp* ops, size_t count, const TilePosition& at,
                  const TileMemory& memory) {
    for (int channel = 0; channel < at.channels; channel += kGroup) {
      const bool whole = at.channels - channel >= kGroup;
      if (whole && at.pixels == kMaxTilePixels) {
        Group<kMaxTilePixels, true>(at, memory, 0, channel).run(ops, count);
        continue;
      }
      for (int pixel = 0; pixel < at.pixels; ++pixel) {
        if (whole) {
          Group<1, true>(at, memory, pixel, channel).run(ops, count);
        } else {
          Group<1, false>(at, memory, pixel, channel).run(ops, count);
        }
      }
    }
  }

 private:
  template <int P, bool kWhole>
  class Group {
   public:
    Group(const TilePosition& at, const TileMemory& memory, int pixel, int channel)
        : memory_(memory),
          pixel_(at.pixel + pixel + (pixel < 4 ? 0 : at.skip)),
          skip_(P == 1 ? 0 : at.skip),
          patch_(at.patch),
          pixel_in_tile_(pixel),
          channel_(at.channel + channel),
          channel_in_tile_(channel),
          present_(at.channels - channel) {}

    S2BNN_INLINE void run(const TileOp* ops, size_t count) {
      using Code = Instruction::Code;
      Floats x[P][V];
      for (const TileOp* op = ops; op != ops + count; ++op) {
        switch (op->code) {
          case Code::kScaleSums: scale(x, *op->scale); break;
          case Code::kCompareSums: compare(x, *op->scale); break;
          case Code::kTakeMade:
            with_tile(x, memory_.made, [](Floats, Floats v) { return v; });
            break;
          case Code::kLoadTensor: with_tensor(x, *op, [](Floats, Floats v) { return v; }); break;
          case Code::kLoadTile: with_tile(x, slot(*op), [](Floats, Floats v) { return v; }); break;
          case Code::kSaveTile: save(x, slot(*op)); break;
          case Code::kAddVector:
            with_vector(x, *op, [](Floats a, Floats v) { return a + v; });
            break;
          case Code::kMulVector:
            with_vector(x, *op, [](Floats a, Floats v) { return a * v; });
            break;
          case Code::kPrelu:
            with_vector(x, *op, [](Floats a, Floats v) { return a >= 0.f ? a : a * v; });
            break;
          case Code::kClamp: clamp(x, *op); break;
          case Code::kLogistic: take_logistic(x); break;
          case Code::kAddTensor:
            with_tensor(x, *op, [](Floats a, Floats v) { return a + v; });
            break;
          case Code::kSubTensor:
            with_tensor(x, *op, [](Floats a, Floats v) { return a - v; });
            break;
          case Code::kSubFromTensor:
            with_tensor(x, *op, [](Floats a, Floats v) { return v - a; });
            break;
          case Code::kMulTensor:
            with_tensor(x, *op, [](Floats a, Floats v) { return a * v; });
            break;
          case Code::kMulGate: gate(x, *op); break;
          case Code::kAddTile:
            with_tile(x, slot(*op), [](Floats a, Floats v) { return a + v; });
            break;
          case Code::kSubTile:
            with_tile(x, slot(*op), [](Floats a, Floats v) { return a - v; });
            break;
          case Code::kMulTile:
            with_tile(x, slot(*op), [](Floats a, Floats v) { return a * v; });
            break;
          case Code::kStore: store(x, *op); break;
          case Code::kStorePooled: store_pooled(x, *op); break;
          case Code::kStoreInt8: store_int8(x, *op); break;
          case Code::kQuantize: quantize(x, *op); break;
        }
      }
    }

   private:
    using Values = Floats[P][V];

    // Calls body(pixel, register) for each register of the group. Both are constants, because
    // compilers keep an array in registers only if no index is computed.
    template <class Body>
    static S2BNN_INLINE void each_index(Body body) {
      each_index(body, std::make_integer_sequence<int, P * V>());
    }
    template <class Body, int... I>
    static S2BNN_INLINE void each_index(Body body, std::integer_sequence<int, I...>) {
      (body(std::integral_constant<int, I / V>(), std::integral_constant<int, I % V>()), ...);
    }

    // Calls body(value, pixel, first channel) for each register.
    template <class Body>
    static S2BNN_INLINE void each(Values& x, Body body) {
      each_index([&](auto p, auto v) S2BNN_INLINE_LAMBDA { body(x[p][v], p, v * L); });
    }

    // How many channels of a register exist.
    int present(int channel) const { return std::min(std::max(present_ - channel, 0), L); }

    float* slot(const TileOp& op) const {
      return memory_.slots + static_cast<size_t>(op.slot) * kMaxTilePixels * B;
    }
    size_t in_tile(int p, int c) const {
      return static_cast<size_t>(pixel_in_tile_ + p) * B + channel_in_tile_ + c;
    }

    size_t pixel(int p) const { return pixel_ + p + (p < 4 ? 0 : skip_); }

    // The group's first channel in a tensor. A period is a multiple of 32, so no group extends
    // beyond it.
    uint32_t first_channel(const TileOp& op) const {
      const uint32_t channel = op.channel_offset + channel_;
      return op.period == 0 ? channel : channel % op.period;
    }

    S2BNN_INLINE void scale(Values& x, const ScaleParameters& s) const {
      Floats multiplier[V], bias[V];
      for (int v = 0; v < V; ++v) {
        multiplier[v] = Vectors::template read<Floats>(s.multiplier + channel_ + v * L);
        bias[v] = Vectors::template read<Floats>(s.bias + channel_ + v * L);
      }
      Integers doubled[V];
      each_index([&](auto p, auto v) S2BNN_INLINE_LAMBDA {
        if constexpr (v == 0) Isa::read_doubled(memory_.sums + in_tile(p, 0), doubled);
        if (s.clamps) {
          doubled[v] = doubled[v] < s.clamp_high ? doubled[v] : Integers{} + s.clamp_high;
          doubled[v] = doubled[v] > s.clamp_low ? doubled[v] : Integers{} + s.clamp_low;
        }
        x[p][v] = __builtin_convertvector(doubled[v], Floats) * multiplier[v] + bias[v];
      });
      if (memory_.corrections != nullptr) correct(x);
    }

    S2BNN_INLINE void correct(Values& x) const {
      each(x, [&](Floats& y, int p, int c) S2BNN_INLINE_LAMBDA {
        const float* correction = memory_.corrections[pixel_in_tile_ + p];
        if (correction != nullptr) y += Vectors::template read<Floats>(correction + channel_ + c);
      });
    }

    // Makes the value negative where a bit is to be set.
    S2BNN_INLINE void compare(Values& x, const ScaleParameters& s) const {
      each(x, [&](Floats& y, int p, int c) S2BNN_INLINE_LAMBDA {
        const Integers sums = __builtin_convertvector(
            Vectors::template read<Sums>(memory_.sums + in_tile(p, c)), Integers);
        y = Vectors::template read<Floats>(s.bias + channel_ + c) -
            __builtin_convertvector(sums, Floats);
      });
    }

    template <class Function>
    S2BNN_INLINE void with_vector(Values& x, const TileOp& op, Function f) const {
      each(x, [&](Floats& y, int, int c) S2BNN_INLINE_LAMBDA {
        y = f(y, Vectors::template read<Floats>(op.vector + channel_ + c));
      });
    }

    // Like each(), and passes the address of the register's place in a tensor whose first one is
    // `memory`.
    template <class T, class Body>
    S2BNN_INLINE void each_in(const TileOp& op, T* memory, Values& x, Body body) const {
      memory += pixel_ * op.pixel_stride + first_channel(op);
      each_index([&](auto p, auto v) S2BNN_INLINE_LAMBDA {
        body(x[p][v], memory + v * L, v * L);
        if constexpr (v == V - 1)
          memory += p == 3 ? (1 + skip_) * op.pixel_stride : op.pixel_stride;
      });
    }

    template <class Function>
    S2BNN_INLINE void with_tensor(Values& x, const TileOp& op, Function f) const {
      each_in(op, static_cast<const float*>(op.memory), x,
              [&](Floats& y, const float* from, int c) S2BNN_INLINE_LAMBDA {
                y = f(y, kWhole ? Vectors::template read<Floats>(from)
                                : Vectors::read_part(from, present(c) * sizeof(float)));
              });
    }

    // Through memory and not inlined, because so many values in between would take the registers
    // of x in all operations.
    static S2BNN_INLINE void take_logistic(Values& x) {
      float values[P][kGroup];
      each(x,
           [&](Floats& y, int p, int c) S2BNN_INLINE_LAMBDA { Vectors::write(y, values[p] + c); });
      take_logistic_of(values[0]);
      each(x, [&](Floats& y, int p, int c)
                  S2BNN_INLINE_LAMBDA { y = Vectors::template read<Floats>(values[p] + c); });
    }

    static __attribute__((noinline)) void take_logistic_of(float* values) {
      for (int i = 0; i < P * kGroup; i += L) {
        Vectors::write(logistic<L>(Vectors::template read<Floats>(values + i)), values + i);
      }
    }

    // A tile may hold pixels of several images.
    S2BNN_INLINE void gate(Values& x, const TileOp& op) const {
      const size_t first = pixel_ / op.image_pixels;
      const float* memory = static_cast<const float*>(op.memory) + first_channel(op);
      each(x, [&](Floats& y, int p, int c) S2BNN_INLINE_LAMBDA {
        size_t image = first;
        while (pixel(p) >= (image + 1) * op.image_pixels) ++image;
        const float* factors = memory + image * op.pixel_stride + c;
        y *= kWhole ? Vectors::template read<Floats>(factors)
                    : Vectors::read_part(factors, present(c) * sizeof(float));
      });
    }

    template <class Function>
    S2BNN_INLINE void with_tile(Values& x, const float* tile, Function f) const {
      each(x, [&](Floats& y, int p, int c) S2BNN_INLINE_LAMBDA {
        y = f(y, Vectors::template read<Floats>(tile + in_tile(p, c)));
      });
    }

    S2BNN_INLINE void save(Values& x, float* tile) const {
      each(x, [&](Floats& y, int p, int c)
                  S2BNN_INLINE_LAMBDA { Vectors::write(y, tile + in_tile(p, c)); });
    }

    S2BNN_INLINE void clamp(Values& x, const TileOp& op) const {
      each(x, [&](Floats& y, int, int) S2BNN_INLINE_LAMBDA {
        const Floats low = Floats{} + op.low, high = Floats{} + op.high;
        y = y < low ? low : y;
        y = high < y ? high : y;
      });
    }

    S2BNN_INLINE void store(Values& x, const TileOp& op) const {
      each_in(op, static_cast<float*>(op.memory), x,
              [&](Floats& y, float* to, int c) S2BNN_INLINE_LAMBDA {
                if (kWhole) {
                  Vectors::write(y, to);
                } else {
                  const Floats copy = y;  // only its address may be taken
                  std::memcpy(to, &copy, present(c) * sizeof(float));
                }
              });
    }

    // Stores the means of the patch's 2x2 pixels. The plan asks for them only if all pixels and
    // channels of the patches exist.
    S2BNN_INLINE void store_pooled(Values& x, const TileOp& op) const {
      if (P != kMaxTilePixels || !kWhole) return;
      float* memory = static_cast<float*>(op.memory) + 2 * patch_ * op.pixel_stride +
                      op.channel_offset + channel_;
      each_index([&](auto p, auto v) S2BNN_INLINE_LAMBDA {
        if constexpr (p < P / 2 && p % 2 == 0) {
          const Floats mean =
              (x[p][v] + x[p + 1][v] + x[P / 2 + p][v] + x[P / 2 + p + 1][v]) * 0.25f;
          Vectors::write(mean, memory + p / 2 * op.pixel_stride + v * L);
        }
      });
    }

    S2BNN_INLINE void store_int8(Values& x, const TileOp& op) const {
      float values[P][kGroup];
      each(x,
           [&](Floats& y, int p, int c) S2BNN_INLINE_LAMBDA { Vectors::write(y, values[p] + c); });
      const int channels = std::min(present_, kGroup);
      for (int p = 0; p < P; ++p) {
        int8_t* target =
            static_cast<int8_t*>(op.memory) + pixel(p) * op.pixel_stride + first_channel(op);
        for (int c = 0; c < channels; ++c) target[c] = to_int8(values[p][c]);
      }
    }

    S2BNN_INLINE void quantize(Values& x, const TileOp& op) const {
      uint8_t* target =
          reinterpret_cast<uint8_t*>(static_cast<uint32_t*>(op.memory) + pixel_ * op.pixel_stride) +
          (op.channel_offset + channel_) / 8;
      const size_t stride = op.pixel_stride * sizeof(uint32_t);
      const bool fills = present_ <= kGroup && (channel_ + kGroup) % 32 != 0;
      if constexpr (P == kMaxTilePixels && kWhole && Isa::kStoresSigns) {
        if (!fills) return Isa::store_signs(x, target, stride, skip_ * stride);
      }
      for (int p = 0; p < P; ++p, target += p == 4 ? (1 + skip_) * stride : stride) {
        uint32_t bits = 0;
        for (int v = 0; v < V; ++v) bits |= Isa::negative(x[p][v]) << (v * L);
        if (!kWhole) bits &= (uint32_t{1} << present_) - 1;  // fewer than 32
        if (fills) {                                         // the last channels' word, with zeros
          std::memcpy(target, &bits, 4 - channel_ / 8 % 4);
        } else {
          std::memcpy(target, &bits, kGroup / 8);
        }
      }
    }

    const TileMemory& memory_;
    const size_t pixel_, skip_, patch_;
    const int pixel_in_tile_;
    const int channel_, channel_in_tile_;
    const int present_;
  };
};

#pragma GCC diagnostic pop

}  // namespace s2bnn
