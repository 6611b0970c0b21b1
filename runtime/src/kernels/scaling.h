// How the integer sums of a binary convolution become its output. The reference and the fast
// kernels share it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "graph/op.h"

namespace s2bnn {

// Larq Compute Engine's output transform. With `sum` the number of differing bits among K products:
//
//     y = clamp(2 sum, clamp_low, clamp_high) * multiplier + bias
//
// This is activation(K - 2 sum) * scale + shift, with the sign and K folded into multiplier, bias
// and bounds. For an int8 output its scale and zero point are folded in too.
struct Scaling {
  int32_t clamp_low = 0, clamp_high = 0;
  std::vector<float> multiplier, bias;  // per output channel
};
Scaling scaling_of(const Op& op, const Partition& partition);

// The nearest int8, or 0 for a value that is not a number, like in Larq Compute Engine. The value
// is clamped while it is still a float, because one that does not fit must not be converted. The
// function is static, since it is compiled for several instruction sets.
static inline int8_t to_int8(float y) {
  return std::isnan(y) ? int8_t{0}
                       : static_cast<int8_t>(std::min(std::max(std::round(y), -128.f), 127.f));
}

// The sum of the filter's +1 and -1 per output channel and tap,
// [channel][filter_height][filter_width]. A tap in the padding contributes this sum if SAME padding
// means 0, since the stored bits say +1; so it has to be taken back.
std::vector<int32_t> tap_sums(const Op& op, const Partition& partition);

// True for SAME padding with zeros, which bits cannot store.
inline bool has_zero_padding(const Op& op) { return op.window.same_padding && op.pad_value == 0; }

}  // namespace s2bnn
