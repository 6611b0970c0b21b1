// Numbers of neighboring channels, in registers: the vectors that GCC and Clang have for every
// processor.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace s2bnn {

template <int N>
struct Lanes {
  typedef float Floats __attribute__((vector_size(4 * N)));

  static Floats load(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }
  static void store(const Floats& values, float* to) { std::memcpy(to, &values, sizeof values); }
};

typedef uint64_t Words __attribute__((vector_size(64)));

inline Words load_words(const uint64_t* from) {
  Words words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

inline Words count_bits(Words words) {
#if defined(__AVX512VPOPCNTDQ__)
  return (Words)_mm512_popcnt_epi64((__m512i)words);
#else
  for (int i = 0; i < 8; ++i) words[i] = __builtin_popcountll(words[i]);
  return words;
#endif
}

}  // namespace s2bnn
