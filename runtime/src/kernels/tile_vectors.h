// The registers of an instruction set, as the loops over tiles see them.
#pragma once

#include <cstring>

#include "kernels/kernels.h"

namespace s2bnn {

// Isa: kBlock; kLanes, floats of a register; kVectors, registers side by side; and Floats, kLanes of them, with
// static uint32_t negative(Floats x): bit i set where x[i] < 0.
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
