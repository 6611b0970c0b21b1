#include "kernels/prepared_format.h"

#include <cstring>

namespace s2bnn {
namespace {

// Spreads the nibbles of a word to one byte each.
uint64_t spread_nibbles(uint64_t word) {
  word = (word | word << 16) & 0x0000ffff0000ffff;
  word = (word | word << 8) & 0x00ff00ff00ff00ff;
  return (word | word << 4) & 0x0f0f0f0f0f0f0f0f;
}

template <class T>
void write(T value, uint8_t* output) {
  std::memcpy(output, &value, sizeof(value));
}

void prepare_group(const uint32_t* words, int count, PreparedFormat format, uint8_t* output) {
  switch (format) {
    case PreparedFormat::kNibbles:
      for (int w = 0; w < count; ++w) write(spread_nibbles(words[w]) << 4, output + 8 * w);
      break;
    case PreparedFormat::kWordPairs:
      for (int w = 0; w + 1 < count; w += 2) {
        write(words[w], output + 4 * w);
        write(words[w] ^ words[w + 1], output + 4 * w + 4);
      }
      if (count % 2 == 1) write(words[count - 1], output + 4 * (count - 1));
      if (count % 2 == 1 && count > 1) write(words[count - 1], output + 4 * count);
      break;
    default: break;
  }
}

}  // namespace

int64_t prepared_bytes(int64_t words, PreparedFormat format) {
  switch (format) {
    case PreparedFormat::kNibbles: return 8 * words;
    case PreparedFormat::kWordPairs: return words == 1 ? 4 : 8 * ((words + 1) / 2);
    default: return 4 * words;
  }
}

int bytes_of_unit(PreparedFormat format) {
  return format == PreparedFormat::kWords || format == PreparedFormat::kWordPairs ? 4 : 1;
}

void prepare_words(const uint32_t* words, size_t groups, int count, PreparedFormat format,
                   uint8_t* output) {
  if (format == PreparedFormat::kBytes || format == PreparedFormat::kWords) {
    std::memcpy(output, words, groups * count * sizeof(uint32_t));  // as they are
    return;
  }
  const int64_t bytes = prepared_bytes(count, format);
  for (size_t i = 0; i < groups; ++i, words += count, output += bytes) {
    prepare_group(words, count, format, output);
  }
}

}  // namespace s2bnn
