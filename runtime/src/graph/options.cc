#include "graph/options.h"

#include "base/error.h"

namespace s2bnn {
namespace {

// Flexbuffer type tags, from the documentation of flatbuffers.
enum FlexType {
  kFlexInt = 1,
  kFlexUint = 2,
  kFlexIndirectInt = 6,
  kFlexIndirectUint = 7,
  kFlexMap = 9,
  kFlexBool = 26
};

constexpr int kMaxWindowSize = 65535;
// The options of real models have about 200 bytes and at most 8 entries. Their names may share the
// same bytes, so without the other limits 64 KiB would unfold to gigabytes.
constexpr size_t kMaxOptionsSize = 1 << 16;
constexpr uint64_t kMaxEntries = 64;
constexpr size_t kMaxNameLength = 64;

class FlexReader {
 public:
  FlexReader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint64_t unsigned_at(size_t position, size_t width) const {
    require(width == 1 || width == 2 || width == 4 || width == 8,
            "custom options: bad flexbuffer width");
    require(position <= size_ && width <= size_ - position,
            "custom options: flexbuffer offset outside of the buffer");
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) value |= uint64_t{data_[position + i]} << (8 * i);
    return value;
  }

  int64_t signed_at(size_t position, size_t width) const {
    const int unused_bits = 64 - 8 * static_cast<int>(width);
    return static_cast<int64_t>(unsigned_at(position, width) << unused_bits) >> unused_bits;
  }

  // Offsets count backwards from the position where they are stored.
  size_t follow(size_t position, size_t width) const {
    const uint64_t offset = unsigned_at(position, width);
    require(offset <= position, "custom options: flexbuffer offset outside of the buffer");
    return position - static_cast<size_t>(offset);
  }

  std::string text_at(size_t position) const {
    size_t end = position;
    while (unsigned_at(end, 1) != 0) {
      require(++end - position <= kMaxNameLength, "custom options: a name is too long");
    }
    return std::string(reinterpret_cast<const char*>(data_) + position, end - position);
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

int integer(const std::map<std::string, int64_t>& options, const char* name, int low, int high) {
  const auto entry = options.find(name);
  if (entry == options.end()) throw Error(std::string("custom options: ") + name + " is missing");
  if (entry->second < low || entry->second > high) {
    throw Error(std::string("custom options: ") + name + " = " + std::to_string(entry->second) +
                " is outside of [" + std::to_string(low) + ", " + std::to_string(high) + "]");
  }
  return static_cast<int>(entry->second);
}

int size_option(const std::map<std::string, int64_t>& options, const char* name) {
  return integer(options, name, 1, kMaxWindowSize);
}

}  // namespace

std::map<std::string, int64_t> read_flexbuffer_map(const uint8_t* buffer, size_t size) {
  require(buffer != nullptr && size >= 3, "custom options: no flexbuffer");
  require(size <= kMaxOptionsSize, "custom options: larger than 64 KiB");
  // The last byte is the width of the root offset. The byte before it holds the root's type and the
  // width of its elements.
  const FlexReader reader(buffer, size);
  const size_t root_width = buffer[size - 1];
  const uint8_t root_type = buffer[size - 2];
  require(root_type >> 2 == kFlexMap, "custom options: the flexbuffer is not a map");
  require(root_width <= size - 2, "custom options: bad flexbuffer width");
  const size_t width = size_t{1} << (root_type & 3);
  const size_t values = reader.follow(size - 2 - root_width, root_width);

  // In front of the values are the offset of the keys, the width of the keys and the number of
  // entries; behind them is one type byte for each.
  require(values >= 3 * width, "custom options: flexbuffer offset outside of the buffer");
  const uint64_t count = reader.unsigned_at(values - width, width);
  const size_t key_width = static_cast<size_t>(reader.unsigned_at(values - 2 * width, width));
  const size_t keys = reader.follow(values - 3 * width, width);
  require(count <= kMaxEntries, "custom options: more than 64 entries");

  std::map<std::string, int64_t> result;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t packed_type =
        static_cast<uint8_t>(reader.unsigned_at(values + count * width + i, 1));
    const int type = packed_type >> 2;
    const size_t position = values + i * width;
    const std::string name = reader.text_at(reader.follow(keys + i * key_width, key_width));
    const bool indirect = type == kFlexIndirectInt || type == kFlexIndirectUint;
    const size_t where = indirect ? reader.follow(position, width) : position;
    const size_t bytes = indirect ? size_t{1} << (packed_type & 3) : width;
    if (type == kFlexInt || type == kFlexIndirectInt) {
      result[name] = reader.signed_at(where, bytes);
    } else if (type == kFlexUint || type == kFlexIndirectUint || type == kFlexBool) {
      result[name] = static_cast<int64_t>(reader.unsigned_at(where, bytes));
    }
  }
  return result;
}

BconvOptions read_bconv_options(const uint8_t* buffer, size_t size) {
  const auto options = read_flexbuffer_map(buffer, size);
  BconvOptions result;
  result.channels_in = integer(options, "channels_in", 1, 1 << 24);
  result.window.stride_height = size_option(options, "stride_height");
  result.window.stride_width = size_option(options, "stride_width");
  result.window.dilation_height = size_option(options, "dilation_height_factor");
  result.window.dilation_width = size_option(options, "dilation_width_factor");
  result.window.same_padding = integer(options, "padding", 0, 1) == 0;
  result.pad_value = integer(options, "pad_values", 0, 1);
  result.activation = static_cast<Activation>(integer(options, "fused_activation_function", 0, 3));
  return result;
}

Window read_bmaxpool_options(const uint8_t* buffer, size_t size) {
  const auto options = read_flexbuffer_map(buffer, size);
  Window window;
  window.filter_height = size_option(options, "filter_height");
  window.filter_width = size_option(options, "filter_width");
  window.stride_height = size_option(options, "stride_height");
  window.stride_width = size_option(options, "stride_width");
  window.same_padding = integer(options, "padding", 0, 1) == 0;
  return window;
}

void check_window(const Window& window) {
  for (int size : {window.filter_height, window.filter_width, window.stride_height,
                   window.stride_width, window.dilation_height, window.dilation_width}) {
    require(size >= 1 && size <= kMaxWindowSize,
            "a filter size, stride or dilation is outside of [1, 65535]");
  }
}

}  // namespace s2bnn
