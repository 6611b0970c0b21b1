// Words of 32 channels in the form in which a kernel reads them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace s2bnn {

enum class PreparedFormat {
  kNibbles,    // a byte for 4 channels: nibble * 16 in a prepared pixel, nibble in the weights
  kBytes,      // a byte for 8 channels
  kWords,      // a 32-bit word for 32 channels
  kWordPairs,  // two words for 64 channels, the second one stored as the exclusive or of both
};

// The number of bytes of `words` words that belong together: those of one pixel and group. A single
// word is not paired; if there are more, an odd last one is paired with zeros.
int64_t prepared_bytes(int64_t words, PreparedFormat format);

int bytes_of_unit(PreparedFormat format);

// Rewrites `groups` times `count` words, each time those of one pixel and group, in a kernel's
// format. The units of a group are neighbors.
void prepare_words(const uint32_t* words, size_t groups, int count, PreparedFormat format,
                   uint8_t* output);

}  // namespace s2bnn
