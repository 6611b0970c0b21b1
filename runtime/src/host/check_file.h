// The check of a whole file, before a host opens it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace s2bnn {

// Checks what hosts take on trust in a .tflite: that it is a whole flatbuffer, see verify.h; that
// the numbers of operators, buffers and tensors in it exist; and that each graph in it can be
// executed in the order of its nodes: every tensor that is read is an input, a constant, a variable
// or made by an earlier node, no tensor is made twice, no node writes an input, a constant or a
// variable, and the outputs are made; and what operators.h says of nodes. Throws Error with the
// node and the tensor.
void check_file(const uint8_t* data, size_t size);

}  // namespace s2bnn
