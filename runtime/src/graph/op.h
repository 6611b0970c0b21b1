// A partition of the host's graph in our own terms: from here on no struct of the host is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graph/options.h"

namespace s2bnn {

enum class DataType { kFloat32, kBits, kInt8, kBool };  // kBits: int32 words, 32 channels each

size_t element_size(DataType type);

using Shape = std::vector<int>;

// Returns the number of elements. Throws Error for a negative or empty dimension, and for more than
// 2^31 - 1 elements.
size_t element_count(const Shape& shape);

// The product of all dimensions but the last: to most kernels a feature map is [pixels, channels].
size_t pixel_count(const Shape& shape);

inline int words_of(int channels) { return channels / 32 + (channels % 32 > 0); }

struct Tensor {
  int host_index = -1;  // where the host keeps it
  DataType type = DataType::kFloat32;
  Shape shape;  // given for partition inputs and constants, inferred for all others
  const void* constant = nullptr;  // the data of a constant; valid as long as the model is
  float scale = 0.f;               // of an int8 tensor
  int zero_point = 0;              // of an int8 tensor
};

enum class OpKind {
  kQuantize,    // float32 | int8 | bool -> bits
  kDequantize,  // bits -> float32 | int8 | bool
  kBconv,       // bits, filter, multiplier, bias, thresholds -> float32 | int8 | bits
  kBMaxPool,    // bits -> bits

  // All others are float32 -> float32. They are claimed to run in the same pass over memory as
  // their neighbors.
  kAdd,
  kSub,
  kMul,
  kPrelu,
  kClamp,  // relu, relu6 and relu_n1_to_1: nothing but the activation
  kAveragePool,
  kMaxPool,
  kConcat,  // along the channels
  kConv,    // with few products, like the first one of a network, or of one pixel
  kMean,    // over height and width
  kLogistic,
};
constexpr int kOpKinds = static_cast<int>(OpKind::kLogistic) + 1;

// The name that TFLite gives to the op, "LceBconv2d" or "ADD".
const char* name_of(OpKind kind);

// True for the ops of Larq Compute Engine, which no host can run itself.
inline bool is_custom(OpKind kind) { return kind <= OpKind::kBMaxPool; }

struct Op {
  OpKind kind;
  std::vector<int> inputs;  // tensors of the partition; -1 if an optional one is absent
  int output = -1;
  Window window;  // of a convolution or pooling
  Activation activation = Activation::kNone;
  int channels_in = 0;  // of a binary convolution, as its input's shape counts words
  int pad_value = 0;    // of a binary convolution: the value of SAME padding, 0 or 1
};

struct Partition {
  std::vector<Op> ops;  // in execution order
  std::vector<Tensor> tensors;
  std::vector<int> inputs;
  std::vector<int> outputs;
};

// The output size and the leading padding of a window along one axis, by TFLite's rule.
struct WindowAxis {
  int output = 0;
  int padding = 0;
};
WindowAxis slide(int input, int filter, int stride, int dilation, bool same_padding);

// True if tensor `gate` has one pixel for each image of the feature map `map`, which has more.
bool is_gate(int gate, int map, const Partition& partition);

// The number of groups of a convolution: the input's words over the filter's.
int groups_of(const Op& op, const Partition& partition);

// Checks the op's tensors and options against each other, and sets the shape of its output. (Only
// the model knows the channel count of a dequantize, so there the output's shape is checked
// instead.) Throws Error with the op's name in front.
void infer_shape(const Op& op, Partition* partition);

}  // namespace s2bnn
