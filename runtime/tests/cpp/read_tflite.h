// Reads a .tflite file for the mini host: a flatbuffer, every offset checked, but nothing said
// about what it means. Indices, shapes and options go on as they are: it is the delegate that has
// to refuse them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "mini_host.h"

struct BadFile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The first graph of the file. Throws BadFile where an offset points outside.
MiniModel read_tflite(const uint8_t* data, size_t size);
