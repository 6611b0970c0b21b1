// How the integer sums of a binary convolution become its output: shared by the reference and by the fast kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "graph/op.h"

namespace s2bnn {

// Larq Compute Engine's output transform. With `sum` the number of differing bits out of K products:
//
//     y = clamp(2 sum, clamp_low, clamp_high) * multiplier + bias
//
// which is activation(K - 2 sum) * scale + shift, with the sign and K folded into multiplier, bias and bounds and, for an int8
// output, its scale and zero point too.
struct Scaling {
  int32_t clamp_low = 0, clamp_high = 0;
  std::vector<float> multiplier, bias;  // per output channel
};
Scaling scaling_of(const Op& op, const Partition& partition);

// The nearest int8, and 0 for what is not a number, which Larq Compute Engine makes of it. Clamped while still a float: what does not
// fit must not be converted. Static, since it is compiled for several instruction sets.
static inline int8_t to_int8(float y) {
  return std::isnan(y) ? int8_t{0} : static_cast<int8_t>(std::min(std::max(std::round(y), -128.f), 127.f));
}

// Per output channel and tap, [channel][filter_height][filter_width]: the sum of the filter's +1 and -1. It is what a tap in the
// padding contributes when SAME padding stands for 0 while its stored bits say +1, and so what has to be taken back.
std::vector<int32_t> tap_sums(const Op& op, const Partition& partition);

// SAME padding with zeros, which bits cannot store.
inline bool has_zero_padding(const Op& op) { return op.window.same_padding && op.pad_value == 0; }

}  // namespace s2bnn
