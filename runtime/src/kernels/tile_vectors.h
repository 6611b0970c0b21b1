// The registers of an instruction set, in the form in which the loops over tiles use them.
#pragma once

#include <cstring>

#include "kernels/kernels.h"

// For functions whose values only stay in registers if they are inlined.
#define S2BNN_INLINE inline __attribute__((always_inline))
#define S2BNN_INLINE_LAMBDA __attribute__((always_inline))

namespace s2bnn {

// What an Isa may replace by instructions of its own. It takes the Isa as a parameter so that each
// kernel file has its own functions.
template <class Isa>
struct IsaDefaults {
  // True if there is store_signs(x, bytes, stride, skip), which stores the signs of 8 pixels by
  // kLanes * kVectors = 8 channels: a byte each, `stride` apart, and `skip` more behind the fourth.
  static constexpr bool kStoresSigns = false;

  // Reads the sums of a pixel, kVectors registers of 16 bits, as integers of 32 bits, times two.
  template <class Integers, size_t V>
  static S2BNN_INLINE void read_doubled(const uint16_t* sums, Integers (&doubled)[V]) {
    typedef uint16_t Sums __attribute__((vector_size(sizeof(Integers) / 2)));
    for (size_t v = 0; v < V; ++v) {
      Sums narrow;
      std::memcpy(&narrow, sums + v * sizeof(Sums) / sizeof(uint16_t), sizeof(narrow));
      doubled[v] = __builtin_convertvector(narrow, Integers) << 1;
    }
  }
};

// An Isa has IsaDefaults as its base; kBlock; kLanes, the floats in a register; kVectors, the
// number of registers side by side; Floats, kLanes of them; and static uint32_t negative(Floats x),
// with bit i set if x[i] < 0.
template <class Isa>
struct TileVectors {
  static constexpr int B = Isa::kBlock;
  static constexpr int L = Isa::kLanes;
  static constexpr int V = Isa::kVectors;
  static constexpr int kGroup = L * V;  // channels
  using Floats = typename Isa::Floats;

  template <class T>
  static T read(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }

  // Through a vector type, because compilers copy by way of other registers.
  static S2BNN_INLINE void write(Floats value, float* to) {
    typedef float Unaligned __attribute__((vector_size(4 * L), aligned(4), may_alias));
    *reinterpret_cast<Unaligned*>(to) = value;
  }

  static Floats read_part(const float* from, size_t bytes) {
    Floats value = {};
    std::memcpy(&value, from, bytes);
    return value;
  }
};

}  // namespace s2bnn
