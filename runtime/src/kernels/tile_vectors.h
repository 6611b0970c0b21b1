// The registers of an instruction set, in the form in which the loops over tiles use them.
#pragma once

#include <cstring>

#include "kernels/kernels.h"

// For functions whose values only stay in registers if they are inlined.
#define S2BNN_INLINE inline __attribute__((always_inline))
#define S2BNN_INLINE_LAMBDA __attribute__((always_inline))

namespace s2bnn {

// An Isa has kBlock; kLanes, the floats in a register; kVectors, the number of registers side by
// side; Floats, kLanes of them; and static uint32_t negative(Floats x), with bit i set if x[i] < 0.
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

  static Floats read_part(const float* from, size_t bytes) {
    Floats value = {};
    std::memcpy(&value, from, bytes);
    return value;
  }
};

}  // namespace s2bnn
