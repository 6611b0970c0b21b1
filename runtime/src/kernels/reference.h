// The four custom ops, each as plain as its definition. Every other kernel is tested against this
// one, and it computes the cases that no fast kernel covers.
//
// Bits are int32 words of 32 channels; bit i of word w is channel 32 w + i, and is set if the value
// is negative.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/op.h"
#include "kernels/scaling.h"

namespace s2bnn {

class Reference {
 public:
  // Both must outlive the reference.
  Reference(const Op& op, const Partition& partition);

  // Computes pixels [first, last) of the output only, so that threads can share the work. `memory`
  // holds an address for each tensor.
  void run(void* const* memory, size_t first, size_t last) const;

 private:
  void convolve(const uint32_t* input, void* output, size_t pixel, int channel) const;
  void write_bit(uint32_t* output, size_t pixel, int channel, bool bit) const;
  void write_number(void* output, size_t i, int channel, int32_t sum, int32_t padded,
                    bool touches_padding) const;

  const Op& op_;
  const Partition& partition_;
  const Tensor& input_;
  const Tensor& output_;
  Scaling scaling_;                // of a convolution, like the members below
  std::vector<int32_t> tap_sums_;  // empty without zero padding
  int group_channels_ = 0;         // output channels in a group
};

}  // namespace s2bnn
