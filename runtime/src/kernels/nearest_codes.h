// The codes that differ from one in the fewest bits, in one pass. Each instruction set compiles
// these loops for itself: with VPOPCNTDQ and with NEON compilers count many words at once, with
// AVX2 one after the other.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace s2bnn {
namespace {

constexpr size_t kCodesOfABlock = 64;  // that are compared together; most blocks hold no answer

inline uint64_t load_word(const uint8_t* word) {  // files do not align what they hold
  uint64_t value;
  std::memcpy(&value, word, sizeof value);
  return value;
}

inline uint32_t count_bits(uint64_t word) {
#if defined(__x86_64__) && !defined(__POPCNT__)
  // Without the instruction, compilers call a function for each word: here pairs, then fours, then
  // bytes of bits are added, and the product adds the bytes, for many words at once.
  word -= word >> 1 & 0x5555555555555555;
  word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
  word += word >> 8;
  word += word >> 16;
  return static_cast<uint32_t>((word + (word >> 32)) & 0xff);
#else
  return static_cast<uint32_t>(__builtin_popcountll(word));
#endif
}

// codes: [count][words] of 64 bits; query: [words]; distances: [count].
inline void count_differing(const uint8_t* codes, size_t count, size_t words, const uint8_t* query,
                            uint32_t* distances) {
  if (words == 2) {  // 128 bits, the codes of an index, without a loop inside the loop
    const uint64_t first = load_word(query), second = load_word(query + 8);
    for (size_t code = 0; code < count; ++code) {
      distances[code] = count_bits(load_word(codes + 16 * code) ^ first) +
                        count_bits(load_word(codes + 16 * code + 8) ^ second);
    }
    return;
  }
  for (size_t code = 0; code < count; ++code) {
    uint32_t sum = 0;
    for (size_t word = 0; word < words; ++word) {
      sum += count_bits(load_word(codes + 8 * (words * code + word)) ^ load_word(query + 8 * word));
    }
    distances[code] = sum;
  }
}

// Whether one distance of a whole block is small enough, without a branch for each.
inline bool any_within(const uint32_t* distances, uint32_t last) {
  uint32_t any = 0;
  for (size_t code = 0; code < kCodesOfABlock; ++code) any |= distances[code] <= last;
  return any != 0;
}

// Keeps what is near enough, in order, and returns how many that are.
inline size_t keep_within(uint32_t last, size_t count, int64_t* rows, uint32_t* distances) {
  size_t kept = 0;
  for (size_t at = 0; at < count; ++at) {
    rows[kept] = rows[at];
    distances[kept] = distances[at];
    kept += distances[at] <= last;
  }
  return kept;
}

// Finds the `wanted` nearest codes, and all others that are as near as the last of these, in the
// order of their rows; returns how many that are.
//
// Few distances are possible, so counting how often each occurs says at any time how far the last
// of the wanted ones is, and nothing is ever sorted.
//
// codes: [count][words] of 64 bits; query: [words]; rows and distances: room for `count` of each.
inline size_t find_nearest(const uint8_t* codes, size_t count, size_t words, const uint8_t* query,
                           size_t wanted, int64_t* rows, uint32_t* distances) {
  if (wanted == 0) return 0;
  uint32_t block[kCodesOfABlock];
  uint32_t last = static_cast<uint32_t>(64 * words);
  std::vector<size_t> occurs(last + 1);
  size_t found = 0, within = 0;  // so many are written, and so many of these are near enough
  for (size_t start = 0; start < count; start += kCodesOfABlock) {
    const size_t here = std::min(kCodesOfABlock, count - start);
    count_differing(codes + 8 * words * start, here, words, query, block);
    if (here == kCodesOfABlock && !any_within(block, last)) continue;
    for (size_t code = 0; code < here; ++code) {
      if (block[code] > last) continue;
      rows[found] = static_cast<int64_t>(start + code);
      distances[found++] = block[code];
      ++occurs[block[code]];
      ++within;
    }
    while (within - occurs[last] >= wanted) within -= occurs[last--];
    if (found > 2 * within + kCodesOfABlock) found = keep_within(last, found, rows, distances);
  }
  return keep_within(last, found, rows, distances);
}

}  // namespace
}  // namespace s2bnn
