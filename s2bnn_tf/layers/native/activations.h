// RSign and RPReLU of ReActNet, and their gradients, each in one pass over memory.
//
// The operations on a number are those of s2bnn_tf/layers/activations.py, in the same order, so
// that results are equal to the bit. Only sums over rows are added in another order.
#pragma once

#include "rows.h"

namespace s2bnn {

// 1 or -1 by the sign of input + bias. NaN stays NaN.
inline void sign_chunk(const Rows& rows, int64_t chunk, const float* input, const float* bias,
                       float* output) {
  for (int64_t row = rows.first(chunk); row < rows.last(chunk); ++row) {
    const float* x = input + row * rows.channels;
    float* y = output + row * rows.channels;
    for (int64_t c = 0; c < rows.channels; ++c) {
      const float z = x[c] + bias[c];
      y[c] = z >= 0 ? 1.0f : z < 0 ? -1.0f : z;
    }
  }
}

// The gradient of the piecewise quadratic approximation of sign, and its sums for the bias, which
// are added to `bias_sums`.
inline void sign_gradient_chunk(const Rows& rows, int64_t chunk, const float* input,
                                const float* bias, const float* upstream, float* gradient,
                                float* bias_sums) {
  for (int64_t row = rows.first(chunk); row < rows.last(chunk); ++row) {
    const int64_t start = row * rows.channels;
    for_each_block(rows.channels, [=](int64_t channel, auto lanes) {
      typename decltype(lanes)::Floats zero = {};
      const int64_t at = start + channel;
      const auto z = lanes.load(input + at) + lanes.load(bias + channel);
      const auto size = z < 0 ? -z : z;
      const auto value = size <= 1 ? (1 - size) * 2 * lanes.load(upstream + at) : zero;
      lanes.store(value, gradient + at);
      lanes.add(value, bias_sums + channel);
    });
  }
}

inline void rprelu_chunk(const Rows& rows, int64_t chunk, const float* input, const float* shift_in,
                         const float* slope, const float* shift_out, float* output) {
  for (int64_t row = rows.first(chunk); row < rows.last(chunk); ++row) {
    const float* x = input + row * rows.channels;
    float* y = output + row * rows.channels;
    for (int64_t c = 0; c < rows.channels; ++c) {
      const float z = x[c] + shift_in[c];
      y[c] = (z > 0 ? z : slope[c] * z) + shift_out[c];
    }
  }
}

// The sums of a chunk for the three variables of RPReLU, which the pass adds to.
struct RPReLUSums {
  float *shift_in, *slope, *shift_out;
};

// Where input + shift_in is zero, the gradient is zero, as that of tf.nn.relu.
inline void rprelu_gradient_chunk(const Rows& rows, int64_t chunk, const float* input,
                                  const float* shift_in, const float* slope, const float* upstream,
                                  float* gradient, const RPReLUSums& out) {
  for (int64_t row = rows.first(chunk); row < rows.last(chunk); ++row) {
    const int64_t start = row * rows.channels;
    for_each_block(rows.channels, [=](int64_t channel, auto lanes) {
      typename decltype(lanes)::Floats zero = {};
      const int64_t at = start + channel;
      const auto up = lanes.load(upstream + at);
      const auto z = lanes.load(input + at) + lanes.load(shift_in + channel);
      const auto value = z > 0 ? up : z < 0 ? lanes.load(slope + channel) * up : zero;
      lanes.store(value, gradient + at);
      lanes.add(value, out.shift_in + channel);
      lanes.add((z > 0 ? zero : z) * up, out.slope + channel);
      lanes.add(up, out.shift_out + channel);
    });
  }
}

}  // namespace s2bnn
