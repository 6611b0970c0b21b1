// The options of Larq Compute Engine's custom ops: a flexbuffer map from names to integers, written
// by the author of the model file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace s2bnn {

// Reads a flexbuffer whose root is a map. Keys whose values are not integers or booleans are left
// out, and nothing nested is followed. Every offset is checked against the buffer; throws Error if
// one points outside, or if the map has more than 64 entries or a name of more than 64 bytes.
std::map<std::string, int64_t> read_flexbuffer_map(const uint8_t* buffer, size_t size);

// The window of a convolution or pooling, which slides over height and width.
struct Window {
  int filter_height = 1, filter_width = 1;
  int stride_height = 1, stride_width = 1;
  int dilation_height = 1, dilation_width = 1;
  bool same_padding = false;
};

enum class Activation { kNone, kRelu, kReluN1To1, kRelu6 };

struct BconvOptions {
  Window window;  // its filter size is that of the filter tensor
  int channels_in = 0;
  int pad_value = 0;  // 0 or 1
  Activation activation = Activation::kNone;
};

BconvOptions read_bconv_options(const uint8_t* buffer, size_t size);
Window read_bmaxpool_options(const uint8_t* buffer, size_t size);

// Throws Error if a size is outside of [1, 65535]. Within it no product of two sizes overflows 64
// bits.
void check_window(const Window& window);

}  // namespace s2bnn
