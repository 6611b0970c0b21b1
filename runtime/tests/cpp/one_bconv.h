// A binary convolution of random bits, alone in its partition, for tests and benchmarks of kernels.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/tiled_bconv.h"

namespace s2bnn {

struct BconvShape {
  int size, words, channels_out, filter, stride, dilation, groups;
  bool same_padding;
  int pad_value;  // of SAME padding, 0 or 1
};

// Holds everything that its operation points to, so it is not copied.
struct OneBconv {
  OneBconv(const BconvShape& s, uint32_t seed)
      : shape(s), axis(slide(s.size, s.filter, s.stride, s.dilation, s.same_padding)) {
    std::mt19937 random(seed);
    const int words = s.words / s.groups;
    input.resize(static_cast<size_t>(s.size) * s.size * s.words);
    filter.resize(static_cast<size_t>(s.channels_out) * s.filter * s.filter * words);
    for (std::vector<uint32_t>* bits : {&input, &filter}) {
      for (uint32_t& word : *bits) word = static_cast<uint32_t>(random());
    }
    ones.assign(s.channels_out, 1.f);
    op.kind = OpKind::kBconv;
    op.channels_in = 32 * s.words;
    op.pad_value = s.pad_value;
    op.window = {s.filter, s.filter, s.stride, s.stride, s.dilation, s.dilation, s.same_padding};
    op.inputs = {add(DataType::kBits, {1, s.size, s.size, s.words}, nullptr),
                 add(DataType::kBits, {s.channels_out, s.filter, s.filter, words}, filter.data()),
                 add(DataType::kFloat32, {s.channels_out}, ones.data()),
                 add(DataType::kFloat32, {s.channels_out}, ones.data()), -1};
    op.output = add(DataType::kFloat32, {1, axis.output, axis.output, s.channels_out}, nullptr);
  }
  OneBconv(const OneBconv&) = delete;
  OneBconv& operator=(const OneBconv&) = delete;

  const BconvShape shape;
  const WindowAxis axis;
  std::vector<uint32_t> input, filter;
  std::vector<float> ones;
  Partition partition;
  Op op;

 private:
  int add(DataType type, Shape shape_of_it, const void* constant) {
    Tensor tensor;
    tensor.type = type;
    tensor.shape = shape_of_it;
    tensor.constant = constant;
    partition.tensors.push_back(tensor);
    return static_cast<int>(partition.tensors.size()) - 1;
  }
};

}  // namespace s2bnn
