#include "kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/scaling.h"

namespace s2bnn {
namespace {

// The place of output pixel `index` in a [batch, height, width, channels] map.
struct Position {
  int64_t batch, y, x;
};

Position position_of(size_t index, const Shape& shape) {
  const int64_t row = static_cast<int64_t>(index) / shape[2];
  return {row / shape[1], row % shape[1], static_cast<int64_t>(index) % shape[2]};
}

// Calls body(tap, words of the input pixel under it, or null in the padding) for each tap of the
// window over an output pixel.
template <class Body>
void for_each_tap(const Window& w, const Shape& in, const Shape& out, const uint32_t* input,
                  size_t index, Body body) {
  const Position at = position_of(index, out);
  const WindowAxis rows =
      slide(in[1], w.filter_height, w.stride_height, w.dilation_height, w.same_padding);
  const WindowAxis columns =
      slide(in[2], w.filter_width, w.stride_width, w.dilation_width, w.same_padding);
  for (int fy = 0; fy < w.filter_height; ++fy) {
    for (int fx = 0; fx < w.filter_width; ++fx) {
      const int64_t y = at.y * w.stride_height - rows.padding + int64_t{fy} * w.dilation_height;
      const int64_t x = at.x * w.stride_width - columns.padding + int64_t{fx} * w.dilation_width;
      const bool inside = y >= 0 && y < in[1] && x >= 0 && x < in[2];
      body(fy * w.filter_width + fx,
           inside ? input + ((at.batch * in[1] + y) * in[2] + x) * in[3] : nullptr);
    }
  }
}

bool is_negative(const Tensor& tensor, const void* data, size_t i) {
  switch (tensor.type) {
    case DataType::kFloat32: return static_cast<const float*>(data)[i] < 0.f;
    case DataType::kInt8: return static_cast<const int8_t*>(data)[i] < tensor.zero_point;
    default: return static_cast<const uint8_t*>(data)[i] == 0;
  }
}

void quantize(const Tensor& input, const void* data, uint32_t* output, size_t first, size_t last) {
  const int channels = input.shape.back();
  const int words = words_of(channels);
  for (size_t pixel = first; pixel < last; ++pixel) {
    std::fill(output + pixel * words, output + (pixel + 1) * words, 0);
    for (int c = 0; c < channels; ++c) {
      if (is_negative(input, data, pixel * channels + c)) {
        output[pixel * words + c / 32] |= uint32_t{1} << c % 32;
      }
    }
  }
}

// In int8, +1 and -1 become the nearest values that scale and zero point can express.
void dequantize(const Tensor& output, const uint32_t* input, void* data, size_t first,
                size_t last) {
  const int channels = output.shape.back();
  const int words = words_of(channels);
  const double one = output.type == DataType::kInt8 ? std::round(1.f / output.scale) : 0;
  const int8_t positive_int8 =
      static_cast<int8_t>(std::max(-128., std::min(127., output.zero_point + one)));
  const int8_t negative_int8 =
      static_cast<int8_t>(std::min(127., std::max(-128., output.zero_point - one)));
  for (size_t pixel = first; pixel < last; ++pixel) {
    for (int c = 0; c < channels; ++c) {
      const size_t i = pixel * channels + c;
      const bool negative = input[pixel * words + c / 32] >> c % 32 & 1;
      switch (output.type) {
        case DataType::kFloat32: static_cast<float*>(data)[i] = negative ? -1.f : 1.f; break;
        case DataType::kInt8:
          static_cast<int8_t*>(data)[i] = negative ? negative_int8 : positive_int8;
          break;
        default: static_cast<uint8_t*>(data)[i] = !negative; break;
      }
    }
  }
}

// The input positions under an undilated window at one output position. Filters may be much larger
// than the input.
struct Range {
  int64_t first, last;
};

Range covered(int64_t output, int size, int filter, int stride, bool same_padding) {
  const int64_t first = output * stride - slide(size, filter, stride, 1, same_padding).padding;
  return {std::max<int64_t>(first, 0), std::min<int64_t>(first + filter, size)};
}

// The maximum of signs is negative if all of them are.
void bmaxpool(const Op& op, const Shape& in, const Shape& out, const uint32_t* input,
              uint32_t* output, size_t first, size_t last) {
  for (size_t pixel = first; pixel < last; ++pixel) {
    uint32_t* words = output + pixel * out[3];
    std::fill(words, words + out[3], ~uint32_t{0});
    const Position at = position_of(pixel, out);
    const Range rows = covered(at.y, in[1], op.window.filter_height, op.window.stride_height,
                               op.window.same_padding);
    const Range columns = covered(at.x, in[2], op.window.filter_width, op.window.stride_width,
                                  op.window.same_padding);
    for (int64_t y = rows.first; y < rows.last; ++y) {
      for (int64_t x = columns.first; x < columns.last; ++x) {
        const uint32_t* source = input + ((at.batch * in[1] + y) * in[2] + x) * in[3];
        for (int w = 0; w < out[3]; ++w) words[w] &= source[w];
      }
    }
  }
}

const void* constant(const Op& op, const Partition& partition, int input) {
  return partition.tensors[op.inputs[input]].constant;
}

}  // namespace

Reference::Reference(const Op& op, const Partition& partition)
    : op_(op),
      partition_(partition),
      input_(partition.tensors[op.inputs[0]]),
      output_(partition.tensors[op.output]) {
  if (op.kind != OpKind::kBconv) return;
  if (output_.type != DataType::kBits) scaling_ = scaling_of(op, partition);
  if (has_zero_padding(op)) tap_sums_ = tap_sums(op, partition);
  group_channels_ = partition.tensors[op.inputs[1]].shape[0] / groups_of(op, partition);
}

void Reference::run(void* const* memory, size_t first, size_t last) const {
  const uint32_t* bits = static_cast<const uint32_t*>(memory[op_.inputs[0]]);
  void* output = memory[op_.output];
  switch (op_.kind) {
    case OpKind::kQuantize:
      return quantize(input_, bits, static_cast<uint32_t*>(output), first, last);
    case OpKind::kDequantize: return dequantize(output_, bits, output, first, last);
    case OpKind::kBMaxPool:
      return bmaxpool(op_, input_.shape, output_.shape, bits, static_cast<uint32_t*>(output), first,
                      last);
    default: break;
  }
  const int channels = partition_.tensors[op_.inputs[1]].shape[0];
  for (size_t pixel = first; pixel < last; ++pixel) {
    for (int channel = 0; channel < channels; ++channel) convolve(bits, output, pixel, channel);
  }
}

void Reference::convolve(const uint32_t* input, void* output, size_t pixel, int channel) const {
  const Shape& shape = partition_.tensors[op_.inputs[1]].shape;
  const int words = shape[3];
  const size_t taps = static_cast<size_t>(shape[1]) * shape[2];
  const int first_word = channel / group_channels_ * words;
  const uint32_t* filter =
      static_cast<const uint32_t*>(constant(op_, partition_, 1)) + channel * taps * words;
  int32_t sum = 0;
  int32_t padded = 0;  // the sum of the filter's taps in zero padding
  bool touches_padding = false;
  for_each_tap(op_.window, input_.shape, output_.shape, input, pixel,
               [&](int tap, const uint32_t* x) {
                 for (int w = 0; w < words; ++w) {
                   sum += __builtin_popcount((x ? x[first_word + w] : 0) ^ filter[tap * words + w]);
                 }
                 if (x != nullptr || tap_sums_.empty()) return;
                 padded += tap_sums_[channel * taps + tap];
                 touches_padding = true;
               });
  if (output_.type == DataType::kBits) {
    const int32_t threshold = static_cast<const int32_t*>(constant(op_, partition_, 4))[channel];
    write_bit(static_cast<uint32_t*>(output), pixel, channel,
              2 * int64_t{sum} + padded > 2 * int64_t{threshold});
  } else {
    write_number(output, pixel * shape[0] + channel, channel, sum, padded, touches_padding);
  }
}

void Reference::write_bit(uint32_t* output, size_t pixel, int channel, bool bit) const {
  uint32_t& word = output[pixel * output_.shape[3] + channel / 32];
  if (channel % 32 == 0) word = 0;
  word |= uint32_t{bit} << channel % 32;
}

void Reference::write_number(void* output, size_t i, int channel, int32_t sum, int32_t padded,
                             bool touches_padding) const {
  // Larq Compute Engine corrects a plain float output after scaling. An activation, which it
  // refuses together with zero padding, has to see the corrected sum, and so has an int8 output.
  const bool correct_float =
      output_.type == DataType::kFloat32 && op_.activation == Activation::kNone;
  int32_t doubled = 2 * sum + (correct_float ? 0 : padded);
  doubled = std::max(std::min(doubled, scaling_.clamp_high), scaling_.clamp_low);
  float y = static_cast<float>(doubled) * scaling_.multiplier[channel] + scaling_.bias[channel];
  if (output_.type == DataType::kInt8) {
    static_cast<int8_t*>(output)[i] = to_int8(y);
    return;
  }
  if (correct_float && touches_padding) {
    y += -1.f * static_cast<const float*>(constant(op_, partition_, 2))[channel] *
         static_cast<float>(padded);
  }
  static_cast<float*>(output)[i] = y;
}

}  // namespace s2bnn
