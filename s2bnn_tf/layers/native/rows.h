// Passes over maps whose last axis is the channels, seen as rows of `channels` numbers.
//
// Rows are cut into chunks whose number depends only on the shape. Sums over rows are added within
// a chunk and then chunk by chunk, so that the number of threads does not change a bit of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lanes.h"

namespace s2bnn {

constexpr int64_t kChunk = 1 << 15;  // numbers of a chunk, about: it fits into the second cache

struct Rows {
  int64_t count, channels;

  int64_t chunk_rows() const { return std::max<int64_t>(1, kChunk / channels); }
  int64_t chunks() const { return (count + chunk_rows() - 1) / chunk_rows(); }
  int64_t first(int64_t chunk) const { return chunk * chunk_rows(); }
  int64_t last(int64_t chunk) const { return std::min(count, first(chunk + 1)); }
};

// Calls `block(channel, lanes)` for as many channels at a time as a register holds, and for each
// that remains. A row is read in its order, since memory is what these passes wait for.
template <typename Block>
void for_each_block(int64_t channels, const Block& block) {
  int64_t channel = 0;
  for (; channel + kFloats <= channels; channel += kFloats) block(channel, Lanes<kFloats>());
  for (; channel < channels; ++channel) block(channel, Lanes<1>());
}

// Adds what each chunk has summed, [chunk][channel], in the order of the chunks.
inline void add_chunks(const std::vector<float>& parts, int64_t channels, float* sums) {
  std::vector<double> totals(channels, 0.0);
  for (size_t i = 0; i < parts.size(); ++i) totals[i % channels] += parts[i];
  std::copy(totals.begin(), totals.end(), sums);
}

}  // namespace s2bnn
