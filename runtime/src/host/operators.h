// What TensorFlow 2.15 takes on trust about the nodes that it runs itself.
#pragma once

#include <string>
#include <vector>

#include "host/flatbuffer.h"

namespace s2bnn {

// The node's operator, its tensors and its options in the file.
struct FileNode {
  int builtin_code;
  const std::vector<int>& inputs;
  const std::vector<int>& outputs;
  const FlatTable& table;
};

// Returns what is wrong with a node, or nothing: its kernel in TensorFlow reads an input that is
// absent, divides by a stride of 0, leaves its input with a filter of negative size, or copies
// values of one type to memory for another. `types` has an entry for each tensor; the indices must
// be in range. Found with tools/fuzz.py; kernels of other operators check these themselves.
std::string fault_of(const FileNode& node, const std::vector<int>& types);

}  // namespace s2bnn
