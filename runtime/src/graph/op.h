// A partition of the host's graph in our own terms: no host struct is seen from here on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graph/options.h"

namespace s2bnn {

enum class DataType { kFloat32, kBits, kInt8, kBool };  // kBits: int32 words, 32 channels each

size_t element_size(DataType type);

using Shape = std::vector<int>;

// Number of elements; throws Error for a negative or empty dimension and for more than 2^31 - 1 elements.
size_t element_count(const Shape& shape);

// All dimensions but the last: feature maps are [pixels, channels] to most kernels.
size_t pixel_count(const Shape& shape);

inline int words_of(int channels) { return channels / 32 + (channels % 32 > 0); }

struct Tensor {
  int host_index = -1;  // where the host keeps it
  DataType type = DataType::kFloat32;
  Shape shape;                     // of a partition input and of a constant; inferred for all others
  const void* constant = nullptr;  // data of a constant, valid as long as the model
  float scale = 0.f;               // of int8
  int zero_point = 0;              // of int8
};

enum class OpKind {
  kQuantize,     // float32 | int8 | bool -> bits
  kDequantize,   // bits -> float32 | int8 | bool
  kBconv,        // bits, filter, multiplier, bias, thresholds -> float32 | int8 | bits
  kBMaxPool,     // bits -> bits
  kAdd,          // the others are float32 -> float32, claimed to run in the same pass over memory as their neighbors
  kSub,
  kMul,
  kPrelu,
  kClamp,        // relu and its kin: nothing but the activation
  kAveragePool,
  kMaxPool,
  kConcat,       // along channels
  kConv,         // with few products, as the first one of a network
  kMean,         // over height and width
};

const char* name_of(OpKind kind);

struct Op {
  OpKind kind;
  std::vector<int> inputs;  // tensors of the partition; -1 where an optional one is absent
  int output = -1;
  Window window;                               // of a convolution or pooling
  Activation activation = Activation::kNone;
  int channels_in = 0;  // of a convolution: the input's shape knows words only
  int pad_value = 0;    // of a convolution: what SAME padding stands for, 0 or 1

  bool is_elementwise() const {
    return kind == OpKind::kAdd || kind == OpKind::kSub || kind == OpKind::kMul || kind == OpKind::kPrelu || kind == OpKind::kClamp;
  }
};

struct Partition {
  std::vector<Op> ops;  // in execution order
  std::vector<Tensor> tensors;
  std::vector<int> inputs;
  std::vector<int> outputs;
};

// Output size and leading padding of a window along one axis, by TFLite's rule.
struct WindowAxis {
  int output = 0;
  int padding = 0;
};
WindowAxis slide(int input, int filter, int stride, int dilation, bool same_padding);

// Groups of a convolution: the input's words over the filter's.
int groups_of(const Op& op, const Partition& partition);

// Checks the op's tensors and options against each other and sets the shape of its output (of a dequantize, whose channel count
// only the model knows, the output's shape is checked instead). Throws Error with the op's name in front.
void infer_shape(const Op& op, Partition* partition);

}  // namespace s2bnn
