// In how many bits codes differ from one. Each instruction set compiles this loop for itself: with
// VPOPCNTDQ and with NEON compilers count many words at once, with AVX2 one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace s2bnn {
namespace {

inline uint64_t load_word(const uint8_t* word) {  // files do not align what they hold
  uint64_t value;
  std::memcpy(&value, word, sizeof value);
  return value;
}

inline uint32_t count_differing(const uint8_t* code, const uint8_t* query, size_t words) {
  uint64_t sum = 0;
  for (size_t word = 0; word < words; ++word) {
    sum += __builtin_popcountll(load_word(code + 8 * word) ^ load_word(query + 8 * word));
  }
  return static_cast<uint32_t>(sum);
}

// codes: [count][words] of 64 bits; query: [words]; distances: [count].
inline void hamming(const uint8_t* codes, size_t count, size_t words, const uint8_t* query,
                    uint32_t* distances) {
  if (words == 2) {  // 128 bits, the codes of an index, without a loop inside the loop
    const uint64_t first = load_word(query), second = load_word(query + 8);
    for (size_t code = 0; code < count; ++code) {
      distances[code] =
          static_cast<uint32_t>(__builtin_popcountll(load_word(codes + 16 * code) ^ first) +
                                __builtin_popcountll(load_word(codes + 16 * code + 8) ^ second));
    }
    return;
  }
  for (size_t code = 0; code < count; ++code) {
    distances[code] = count_differing(codes + 8 * words * code, query, words);
  }
}

}  // namespace
}  // namespace s2bnn
