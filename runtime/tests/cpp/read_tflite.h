// Reads a .tflite file for the mini host. It is a flatbuffer, and every offset is checked, but not
// the meaning of the values. Indices, shapes and options are passed on as they are: the delegate
// has to refuse them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "mini_host.h"

struct BadFile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Reads the first graph of the file. Throws BadFile if an offset points outside of the file.
MiniModel read_tflite(const uint8_t* data, size_t size);
