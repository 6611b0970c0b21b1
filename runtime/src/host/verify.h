// The check that the bytes of a .tflite are a whole flatbuffer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace s2bnn {

// Checks that every table, vector and string of a .tflite lies inside of the file and is aligned,
// as the schema of TensorFlow 2.15 describes them. Fields of later schemas are not visited. Parts
// may be shared, but not so that they unfold to much more than the file. Throws Error.
void verify_flatbuffer(const uint8_t* data, size_t size);

}  // namespace s2bnn
