#include "graph/op.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "base/error.h"

namespace s2bnn {
namespace {

// Above this, hosts are better at a float convolution: they block it for caches, which a
// convolution with few products does not need.
constexpr int kMaxFloatProducts = 32;

const Tensor& input(const Op& op, const Partition& partition, size_t i) {
  require(i < op.inputs.size() && op.inputs[i] >= 0, "an input is missing");
  return partition.tensors[op.inputs[i]];
}

const Tensor& constant(const Op& op, const Partition& partition, size_t i, DataType type,
                       size_t count) {
  const Tensor& tensor = input(op, partition, i);
  require(tensor.type == type, "a constant has the wrong type");
  require(tensor.constant != nullptr, "filter, multiplier, bias and thresholds must be constants");
  require(element_count(tensor.shape) == count, "a constant has the wrong size");
  return tensor;
}

void require_finite_scale(const Tensor& tensor) {
  require(std::isfinite(tensor.scale) && tensor.scale > 0.f,
          "an int8 tensor needs a positive quantization scale");
}

Shape infer_quantize(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  require(x.type != DataType::kBits, "the input must be float32, int8 or bool");
  require(partition.tensors[op.output].type == DataType::kBits, "the output must be int32");
  require(!x.shape.empty(), "the input must have a channel dimension");
  Shape shape = x.shape;
  shape.back() = words_of(shape.back());
  return shape;
}

Shape infer_dequantize(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  const Tensor& y = partition.tensors[op.output];
  require(x.type == DataType::kBits, "the input must be int32");
  require(y.type != DataType::kBits, "the output must be float32, int8 or bool");
  require(!x.shape.empty() && y.shape.size() == x.shape.size(),
          "input and output must have the same rank");
  require(y.shape.back() > 0 && words_of(y.shape.back()) == x.shape.back(),
          "the output's channels do not match the input's words");
  if (y.type == DataType::kInt8) require_finite_scale(y);
  Shape shape = x.shape;
  shape.back() = y.shape.back();
  return shape;
}

Shape slide_over(const Shape& shape, const Window& window, int channels) {
  const WindowAxis rows = slide(shape[1], window.filter_height, window.stride_height,
                                window.dilation_height, window.same_padding);
  const WindowAxis columns = slide(shape[2], window.filter_width, window.stride_width,
                                   window.dilation_width, window.same_padding);
  require(rows.output > 0 && columns.output > 0, "the filter is larger than the unpadded input");
  return {shape[0], rows.output, columns.output, channels};
}

Shape infer_pool(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  const DataType expected = op.kind == OpKind::kBMaxPool ? DataType::kBits : DataType::kFloat32;
  require(x.type == expected && partition.tensors[op.output].type == expected,
          "input and output have the wrong type");
  require(x.shape.size() == 4, "the input must have four dimensions");
  check_window(op.window);
  return slide_over(x.shape, op.window, x.shape[3]);
}

Shape infer_bconv(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  const Tensor& filter = input(op, partition, 1);
  const Tensor& y = partition.tensors[op.output];
  require(x.type == DataType::kBits && filter.type == DataType::kBits,
          "input and filter must be int32");
  require(x.shape.size() == 4 && filter.shape.size() == 4,
          "input and filter must have four dimensions");
  constant(op, partition, 1, DataType::kBits, element_count(filter.shape));
  check_window(op.window);
  require(op.window.filter_height == filter.shape[1] && op.window.filter_width == filter.shape[2],
          "the filter's shape does not match its options");
  require(words_of(op.channels_in) == x.shape[3], "channels_in does not match the input");

  const int groups = groups_of(op, partition);
  const int channels = filter.shape[0];
  require(channels % groups == 0, "the output channels do not divide into the groups");
  require(groups == 1 || op.channels_in % (32 * groups) == 0,
          "a group must have 32 channels or a multiple of 32");
  const int64_t products = int64_t{filter.shape[1]} * filter.shape[2] * (op.channels_in / groups);
  require(products < (1 << 29), "the filter is too large");
  if (y.type == DataType::kBits) {
    constant(op, partition, 4, DataType::kBits, channels);
  } else {
    require(y.type == DataType::kFloat32 || y.type == DataType::kInt8,
            "the output must be float32, int8 or int32");
    constant(op, partition, 2, DataType::kFloat32, channels);
    constant(op, partition, 3, DataType::kFloat32, channels);
    if (y.type == DataType::kInt8) require_finite_scale(y);
  }
  return slide_over(x.shape, op.window, y.type == DataType::kBits ? words_of(channels) : channels);
}

// A constant second operand has one value, or one per channel. Any other second operand has the
// shape of the first; or a factor is a gate, with one value per image and channel.
Shape infer_elementwise(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  require(partition.tensors[op.output].type == DataType::kFloat32, "the output must be float32");
  require(x.type == DataType::kFloat32 && x.constant == nullptr && !x.shape.empty(),
          "the input must be a float32 feature map");
  if (op.kind == OpKind::kClamp || op.kind == OpKind::kLogistic) return x.shape;
  const Tensor& other = input(op, partition, 1);
  require(other.type == DataType::kFloat32, "the operands must be float32");
  if (other.constant != nullptr) {
    const size_t count = element_count(other.shape);
    require(count == 1 || (count == static_cast<size_t>(x.shape.back()) &&
                           other.shape.back() == x.shape.back()),
            "a constant operand must have one value or one per channel");
  } else {
    require(op.kind != OpKind::kPrelu, "the slopes must be constants");
    const bool gates = op.kind == OpKind::kMul && is_gate(op.inputs[1], op.inputs[0], partition);
    require(gates || other.shape == x.shape, "the operands must have the same shape");
  }
  return x.shape;
}

Shape infer_concat(const Op& op, const Partition& partition) {
  Shape shape = input(op, partition, 0).shape;
  require(partition.tensors[op.output].type == DataType::kFloat32, "the output must be float32");
  require(!shape.empty(), "the inputs must have a channel dimension");
  int64_t channels = 0;
  for (size_t i = 0; i < op.inputs.size(); ++i) {
    const Tensor& x = input(op, partition, i);
    require(x.type == DataType::kFloat32 && x.constant == nullptr,
            "the inputs must be float32 feature maps");
    require(x.shape.size() == shape.size() &&
                std::equal(shape.begin(), shape.end() - 1, x.shape.begin()),
            "the inputs differ in more than their channels");
    channels += x.shape.back();
  }
  require(channels < (1 << 24), "too many channels");
  shape.back() = static_cast<int>(channels);
  return shape;
}

// How many inputs an op of this kind takes; 0 means any number.
size_t input_count(OpKind kind) {
  switch (kind) {
    case OpKind::kConcat: return 0;
    case OpKind::kBconv: return 5;
    case OpKind::kConv: return 3;
    case OpKind::kMean: return 2;
    case OpKind::kAdd:
    case OpKind::kSub:
    case OpKind::kMul:
    case OpKind::kPrelu: return 2;
    default: return 1;
  }
}

Shape infer_conv(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  const Tensor& filter = input(op, partition, 1);
  require(x.type == DataType::kFloat32 && filter.type == DataType::kFloat32,
          "input and filter must be float32");
  require(partition.tensors[op.output].type == DataType::kFloat32, "the output must be float32");
  require(x.shape.size() == 4 && filter.shape.size() == 4 && x.constant == nullptr,
          "the input must be a feature map");
  constant(op, partition, 1, DataType::kFloat32, element_count(filter.shape));
  if (op.inputs[2] >= 0) constant(op, partition, 2, DataType::kFloat32, filter.shape[0]);
  check_window(op.window);
  require(op.window.filter_height == filter.shape[1] && op.window.filter_width == filter.shape[2],
          "the filter's shape does not match its options");
  require(op.window.dilation_height == 1 && op.window.dilation_width == 1,
          "the convolution is dilated");
  require(filter.shape[3] == x.shape[3], "the convolution is grouped");
  // With a single pixel there is nothing to divide into blocks.
  const int64_t products = int64_t{filter.shape[1]} * filter.shape[2] * filter.shape[3];
  require(products <= kMaxFloatProducts || (x.shape[1] == 1 && x.shape[2] == 1),
          "the convolution has too many products");
  return slide_over(x.shape, op.window, filter.shape[0]);
}

// Over axes 1 and 2. The model's output says whether these remain, with sizes of 1.
Shape infer_mean(const Op& op, const Partition& partition) {
  const Tensor& x = input(op, partition, 0);
  const int32_t* axes =
      static_cast<const int32_t*>(constant(op, partition, 1, DataType::kBits, 2).constant);
  require(x.type == DataType::kFloat32 && x.constant == nullptr && x.shape.size() == 4,
          "the input must be a float32 feature map");
  require(partition.tensors[op.output].type == DataType::kFloat32, "the output must be float32");
  require(std::min(axes[0], axes[1]) == 1 && std::max(axes[0], axes[1]) == 2,
          "the mean is not over height and width");
  const int channels = x.shape[3];
  if (partition.tensors[op.output].shape.size() == 2) return {x.shape[0], channels};
  return {x.shape[0], 1, 1, channels};
}

Shape infer(const Op& op, const Partition& partition) {
  const size_t count = input_count(op.kind);
  require(count == 0 || op.inputs.size() == count, "the wrong number of inputs");
  for (int i : op.inputs) {
    if (i >= 0) element_count(partition.tensors[i].shape);
  }
  switch (op.kind) {
    case OpKind::kQuantize: return infer_quantize(op, partition);
    case OpKind::kDequantize: return infer_dequantize(op, partition);
    case OpKind::kBconv: return infer_bconv(op, partition);
    case OpKind::kBMaxPool:
    case OpKind::kAveragePool:
    case OpKind::kMaxPool: return infer_pool(op, partition);
    case OpKind::kConcat: return infer_concat(op, partition);
    case OpKind::kConv: return infer_conv(op, partition);
    case OpKind::kMean: return infer_mean(op, partition);
    default: return infer_elementwise(op, partition);
  }
}

}  // namespace

size_t element_size(DataType type) {
  return type == DataType::kFloat32 || type == DataType::kBits ? 4 : 1;
}

size_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int size : shape) {
    require(size > 0, "a tensor is empty or has a negative dimension");
    count *= size;
    require(count <= INT32_MAX, "a tensor has more than 2^31 - 1 elements");
  }
  return static_cast<size_t>(count);
}

size_t pixel_count(const Shape& shape) { return element_count(shape) / shape.back(); }

const char* name_of(OpKind kind) {
  static const char* const names[] = {
      "LceQuantize", "LceDequantize", "LceBconv2d", "LceBMaxPool2d", "ADD",
      "SUB",         "MUL",           "PRELU",      "RELU",          "AVERAGE_POOL_2D",
      "MAX_POOL_2D", "CONCATENATION", "CONV_2D",    "MEAN",          "LOGISTIC",
  };
  static_assert(std::size(names) == kOpKinds, "every kind has a name");
  return names[static_cast<int>(kind)];
}

WindowAxis slide(int input, int filter, int stride, int dilation, bool same_padding) {
  const int64_t extent = int64_t{filter - 1} * dilation + 1;
  const int64_t covered = same_padding ? input : input - extent + 1;
  if (covered <= 0) return {};
  const int64_t output = (covered + stride - 1) / stride;
  const int64_t padding =
      same_padding ? std::max<int64_t>((output - 1) * stride + extent - input, 0) / 2 : 0;
  require(padding <= INT32_MAX / 2, "the filter is too large");
  return {static_cast<int>(output), static_cast<int>(padding)};
}

bool is_gate(int gate, int map, const Partition& partition) {
  const Shape& one = partition.tensors[gate].shape;
  const Shape& many = partition.tensors[map].shape;
  if (partition.tensors[gate].constant != nullptr) return false;
  if (one.size() != 4 || many.size() != 4 || one == many) return false;
  return one == Shape{many[0], 1, 1, many[3]};
}

int groups_of(const Op& op, const Partition& partition) {
  const int words = partition.tensors[op.inputs[0]].shape[3];
  const int words_in_group = partition.tensors[op.inputs[1]].shape[3];
  require(words_in_group > 0 && words % words_in_group == 0,
          "the filter's channels do not divide the input's");
  return words / words_in_group;
}

void infer_shape(const Op& op, Partition* partition) {
  try {
    const Shape shape = infer(op, *partition);
    element_count(shape);
    partition->tensors[op.output].shape = shape;
  } catch (const Error& error) {
    throw Error(std::string(name_of(op.kind)) + ": " + error.what());
  }
}

}  // namespace s2bnn
