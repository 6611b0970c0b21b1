// Words of 32 channels in the form in which a kernel wants them.
#pragma once

#include "kernels/kernels.h"

namespace s2bnn {

// Bytes of `words` words that belong together: those of a pixel and group. A single word is not paired; of more words an odd last
// one is paired with zeros.
int64_t prepared_bytes(int64_t words, PreparedFormat format);

int bytes_of_unit(PreparedFormat format);

// Rewrites `groups` times `count` words, each time those of one pixel and group, in a kernel's format; its units are neighbors.
void prepare_words(const uint32_t* words, size_t groups, int count, PreparedFormat format, uint8_t* output);

}  // namespace s2bnn
