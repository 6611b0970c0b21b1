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
  static void add(const Floats& values, float* to) { store(load(to) + values, to); }
};

#if defined(__AVX__)
constexpr int kFloats = 8;  // wider ones gain nothing where memory is what is waited for
#else
constexpr int kFloats = 4;
#endif

// Words of 64 bits, as many as a register of this processor holds.
#if defined(__AVX512F__)
typedef uint64_t Words __attribute__((vector_size(64)));
#elif defined(__AVX2__)
typedef uint64_t Words __attribute__((vector_size(32)));
#else
typedef uint64_t Words __attribute__((vector_size(16)));
#endif
constexpr int kWords = sizeof(Words) / sizeof(uint64_t);
typedef int32_t Integers __attribute__((vector_size(4 * kWords)));

inline Words load_words(const uint64_t* from) {
  Words words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

// Numbers below 2^24, which are exact in float32.
inline Lanes<kWords>::Floats to_floats(const Words& numbers) {
  const auto integers = __builtin_convertvector(numbers, Integers);
  return __builtin_convertvector(integers, Lanes<kWords>::Floats);
}

// How many bits are set: in each word where the processor counts those itself, else in each byte of
// a word. Up to kMostCounts of the latter can be added before total() makes them numbers.
#if defined(__AVX512VPOPCNTDQ__)
constexpr int64_t kMostCounts = int64_t{1} << 32;

inline Words count_bits(const Words& words) { return (Words)_mm512_popcnt_epi64((__m512i)words); }
inline Words total(const Words& counts) { return counts; }
#else
constexpr int64_t kMostCounts = 31;  // times 8 bits

inline Words count_bits(Words words) {
  words -= (words >> 1) & 0x5555555555555555u;
  words = (words & 0x3333333333333333u) + ((words >> 2) & 0x3333333333333333u);
  return (words + (words >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

inline Words total(Words counts) {
  counts = (counts & 0x00ff00ff00ff00ffu) + ((counts >> 8) & 0x00ff00ff00ff00ffu);
  counts += counts >> 32;
  return (counts + (counts >> 16)) & 0xffff;
}
#endif

}  // namespace s2bnn
