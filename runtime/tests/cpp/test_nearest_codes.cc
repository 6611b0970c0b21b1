// Each set of kernels finds the nearest codes that sorting finds, in memory of exactly their size.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "base/error.h"
#include "kernels/kernels.h"

namespace {

// How many bits differ in one code, the slow way.
uint32_t differing(const uint8_t* code, const uint8_t* query, size_t words) {
  uint32_t sum = 0;
  for (size_t bit = 0; bit < 64 * words; ++bit) {
    sum += ((code[bit / 8] ^ query[bit / 8]) >> (bit % 8)) & 1;
  }
  return sum;
}

bool finds(const s2bnn::Kernels& kernels, size_t count, size_t words, size_t wanted, bool dense) {
  std::mt19937 random(static_cast<unsigned>(count + words));
  std::vector<uint8_t> bytes(1 + 8 * words * count), query(8 * words);
  for (auto& byte : query) byte = static_cast<uint8_t>(random());
  for (size_t at = 1; at < bytes.size(); ++at) {
    const unsigned mask = dense ? 1 : 0xff;  // few distances are many ties
    bytes[at] = static_cast<uint8_t>(query[(at - 1) % query.size()] ^ (random() & mask));
  }
  const uint8_t* codes = bytes.data() + 1;  // not aligned
  std::vector<uint32_t> expected(count), sorted;
  for (size_t row = 0; row < count; ++row) {
    expected[row] = differing(codes + 8 * words * row, query.data(), words);
  }
  sorted = expected;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> rows(count);
  std::vector<uint32_t> distances(count);
  const size_t found = kernels.find_nearest(codes, count, words, query.data(), wanted, rows.data(),
                                            distances.data());
  size_t at = 0;
  for (size_t row = 0; row < count && wanted > 0; ++row) {
    if (expected[row] > sorted[std::min(wanted, count) - 1]) continue;
    if (at >= found || rows[at] != static_cast<int64_t>(row)) return false;
    if (distances[at++] != expected[row]) return false;
  }
  return at == found;
}

}  // namespace

int main() {
  int failures = 0;
  for (const char* name : {"portable", "avx2", "avx512", "avx512_vpopcntdq", "neon"}) {
    const s2bnn::Kernels* kernels = nullptr;
    try {
      kernels = &s2bnn::select_kernels(name);
    } catch (const s2bnn::Error&) {
      continue;  // this processor does not have them
    }
    for (size_t count : {0, 1, 63, 64, 65, 1000}) {
      for (size_t words : {1, 2, 5}) {
        for (size_t wanted : {0, 1, 100, 2000}) {
          for (bool dense : {false, true}) {
            if (finds(*kernels, count, words, wanted, dense)) continue;
            std::printf("%s: %zu codes of %zu words, %zu wanted\n", name, count, words, wanted);
            ++failures;
          }
        }
      }
    }
  }
  return failures != 0;
}
