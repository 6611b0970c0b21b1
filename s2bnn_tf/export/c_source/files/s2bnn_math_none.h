/* What the kernels need of math.h, without a C library: within 1e-6 of the value, relative. */
#ifndef S2BNN_MATH_H
#define S2BNN_MATH_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define S2BNN_INFINITY __builtin_inff()
#define S2BNN_NAN __builtin_nanf("")
#else
#define S2BNN_INFINITY ((float)(1e300 * 1e300))
#define S2BNN_NAN (S2BNN_INFINITY * 0.0F)
#endif

static inline float s2bnn_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* 2^n for n from -126 to 127. */
static inline float s2bnn_power_of_2(int32_t n) { return s2bnn_of_bits((uint32_t)(n + 127) << 23); }

/* x = n log 2 + r, and the series of e^r up to its 7th power. What is below 2^-126 becomes 0. */
static inline float s2bnn_exp_of(float x) {
  float sum = 1.0F;
  if (!(x > -87.3F)) return x < 0.0F ? 0.0F : x; /* a NaN stays one */
  if (x > 88.72F) return S2BNN_INFINITY;
  const int32_t n = (int32_t)(x * 1.44269504F + (x < 0.0F ? -0.5F : 0.5F));
  const float r = (x - (float)n * 0.69311523F) - (float)n * 3.1946185e-5F; /* the parts of log 2 */
  for (int32_t k = 7; k > 0; --k) sum = 1.0F + sum * r / (float)k;
  return sum * s2bnn_power_of_2(n / 2) * s2bnn_power_of_2(n - n / 2);
}

/* Lambert's fraction near 0, and 1 - 2 / (e^2x + 1) beyond. */
static inline float s2bnn_tanh_of(float x) {
  const float size = x < 0.0F ? -x : x, square = x * x;
  if (size < 0.6F) {
    float sum = 11.0F;
    for (int32_t k = 9; k > 0; k -= 2) sum = (float)k + square / sum;
    return x / sum;
  }
  const float rest = 2.0F / (s2bnn_exp_of(2.0F * size) + 1.0F);
  return x < 0.0F ? rest - 1.0F : 1.0F - rest;
}

/* Half the exponent, and then Heron's method. */
static inline float s2bnn_sqrt_of(float x) {
  uint32_t bits;
  if (!(x > 0.0F && x < S2BNN_INFINITY)) return x < 0.0F ? S2BNN_NAN : x;
  const int is_small = x < 1.0e-30F; /* perhaps with fewer bits than others */
  if (is_small) x *= 1.8446744e19F;  /* 2^64 */
  memcpy(&bits, &x, sizeof bits);
  float y = s2bnn_of_bits((bits >> 1) + 0x1fbb4000U);
  for (int32_t step = 0; step < 3; ++step) y = 0.5F * (y + x / y);
  return is_small ? y * 2.3283064e-10F : y; /* 2^-32 */
}

#endif
