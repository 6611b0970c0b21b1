#include "kernels/scaling.h"

#include <algorithm>
#include <limits>

namespace s2bnn {
namespace {

struct Bounds {
  int32_t low, high;
};

Bounds bounds_of(Activation activation) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  switch (activation) {
    case Activation::kRelu: return {0, kMax};
    case Activation::kReluN1To1: return {-1, 1};
    case Activation::kRelu6: return {0, 6};
    case Activation::kNone: break;
  }
  return {std::numeric_limits<int32_t>::min(), kMax};
}

}  // namespace

Scaling scaling_of(const Op& op, const Partition& partition) {
  const Tensor& filter = partition.tensors[op.inputs[1]];
  const Tensor& output = partition.tensors[op.output];
  const float* scale = static_cast<const float*>(partition.tensors[op.inputs[2]].constant);
  const float* shift = static_cast<const float*>(partition.tensors[op.inputs[3]].constant);
  const int channels = filter.shape[0];
  const int32_t products =
      filter.shape[1] * filter.shape[2] * (op.channels_in / groups_of(op, partition));
  const bool int8 = output.type == DataType::kInt8;
  const double output_scale = int8 ? output.scale : 1.0;
  const double zero_point = int8 ? output.zero_point : 0.0;

  Scaling result;
  const Bounds bounds = bounds_of(op.activation);
  result.clamp_low = products - std::min(bounds.high, products);
  result.clamp_high = products - std::max(bounds.low, -products);
  for (int c = 0; c < channels; ++c) {
    result.multiplier.push_back(
        static_cast<float>(-1 * static_cast<double>(scale[c]) / output_scale));
    const double folded = static_cast<double>(shift[c]) +
                          static_cast<double>(products) * static_cast<double>(scale[c]);
    result.bias.push_back(static_cast<float>(folded / output_scale + zero_point));
  }
  return result;
}

std::vector<int32_t> tap_sums(const Op& op, const Partition& partition) {
  const Tensor& filter = partition.tensors[op.inputs[1]];
  const uint32_t* bits = static_cast<const uint32_t*>(filter.constant);
  const int channels_in_group = op.channels_in / groups_of(op, partition);
  const int words = filter.shape[3];
  std::vector<int32_t> result(element_count(filter.shape) / words);
  for (size_t tap = 0; tap < result.size(); ++tap) {
    int negative = 0;
    for (int w = 0; w < words; ++w) negative += __builtin_popcount(bits[tap * words + w]);
    result[tap] = channels_in_group - 2 * negative;
  }
  return result;
}

}  // namespace s2bnn
