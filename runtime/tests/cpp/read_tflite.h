// Reads a .tflite file for the mini host. It is a flatbuffer, and every offset is checked, but not
// the meaning of the values. Indices, shapes and options are passed on as they are: the delegate
// has to refuse them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "mini_host.h"

// Reads the first graph of the file. Throws s2bnn::Error if an offset points outside of the file.
MiniModel read_tflite(const uint8_t* data, size_t size);
