// 1 / (1 + exp(-x)) on vectors: the same bits on every instruction set, unlike a library's exp.
#pragma once

#include <cstdint>

#include "kernels/tile_vectors.h"

namespace s2bnn {

// Within 3e-7 of the exact value, relative to it; NaN remains NaN. L is the number of floats in a
// vector.
template <int L, class Floats>
S2BNN_INLINE Floats logistic(Floats x) {
  typedef uint32_t Words __attribute__((vector_size(4 * L)));
  // exp(t) = 2^n exp(r) with t = -|x|, so that nothing overflows. At -87 the exponent of 2^n is
  // still one of normal numbers.
  const Floats t = x < 0.f ? x : -x;
  const Floats bounded = t < -87.f ? Floats{} - 87.f : t;
  // Adding and subtracting this rounds to an integer, whose bits are then the lowest of the sum.
  const float magic = 12582912.f;  // 1.5 * 2^23
  const Floats shifted = bounded * 1.44269504f + magic;
  const Floats n = shifted - magic;
  const Floats r = bounded - n * 0.693359375f - n * -2.12194440e-4f;  // ln 2 in two parts
  // The polynomial of Cephes' expf.
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  const Floats power = (Floats)(((Words)shifted << 23) + (127u << 23));
  const Floats e = p * power;
  return (x < 0.f ? e : Floats{} + 1.f) / (e + 1.f);
}

}  // namespace s2bnn
